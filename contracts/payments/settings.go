package payments

import "time"

// Settings of the payments service.
type Settings struct {
	Patience time.Duration `setting:"patience" default:"2s" min:"10ms" max:"1m" doc:"how long the provider may take before it is queried"`
	Cache    int           `setting:"cache" default:"0" min:"0" read:"start" doc:"payments kept in memory; 0 for the event store's default"`
}
