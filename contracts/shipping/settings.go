package shipping

import "time"

// Settings of the shipping service.
type Settings struct {
	Transit time.Duration `setting:"transit" default:"1s" min:"0s" max:"2160h" doc:"how long the carrier takes from hand-over to delivery; 0s delivers at once"`
	Cache   int           `setting:"cache" default:"0" min:"0" read:"start" doc:"shipments kept in memory; 0 for the event store's default"`
}
