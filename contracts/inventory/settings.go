package inventory

// Settings of the inventory service.
type Settings struct {
	Cache int `setting:"cache" default:"0" min:"0" read:"start" doc:"SKUs, and reservations, kept in memory; 0 for the event store's default"`
}
