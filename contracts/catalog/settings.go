package catalog

import "time"

// Settings of the catalog service.
type Settings struct {
	Cache int `setting:"cache" default:"0" min:"0" read:"start" doc:"products kept in memory; 0 for the event store's default"`

	ReadFresh   time.Duration `setting:"read_fresh" default:"300s" min:"1s" max:"24h" doc:"how long a product that was read answers get; a change ends it at once, everywhere"`
	ReadUnknown time.Duration `setting:"read_unknown" default:"30s" min:"1s" max:"24h" doc:"the same for a SKU that the catalog does not have"`
	ReadStale   time.Duration `setting:"read_stale" default:"1h" min:"0s" max:"168h" doc:"how long after that it still answers while the event store does not"`
}
