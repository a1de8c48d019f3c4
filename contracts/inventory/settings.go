package inventory

import "time"

// Settings of the inventory service.
type Settings struct {
	Cache int `setting:"cache" default:"0" min:"0" read:"start" doc:"SKUs, and reservations, kept in memory; 0 for the event store's default"`

	ReadFresh   time.Duration `setting:"read_fresh" default:"300s" min:"1s" max:"24h" doc:"how long a stock that was read answers get; a change ends it at once, everywhere"`
	ReadUnknown time.Duration `setting:"read_unknown" default:"30s" min:"1s" max:"24h" doc:"the same for a SKU without stock"`
	ReadStale   time.Duration `setting:"read_stale" default:"1m" min:"0s" max:"168h" doc:"how long after that it still answers while the event store does not"`
}
