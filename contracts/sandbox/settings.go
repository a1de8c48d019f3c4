package sandbox

import "time"

// ProviderSettings are those of the payment provider.
type ProviderSettings struct {
	Latency time.Duration `setting:"latency" default:"0s" min:"0s" max:"1m" doc:"added to every answer of the provider"`
}

// CarrierSettings are those of the carrier.
type CarrierSettings struct {
	Latency time.Duration `setting:"latency" default:"0s" min:"0s" max:"1m" doc:"added to every answer of the carrier"`
}
