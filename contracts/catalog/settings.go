package catalog

// Settings of the catalog service.
type Settings struct {
	Cache int `setting:"cache" default:"0" min:"0" read:"start" doc:"products kept in memory; 0 for the event store's default"`
}
