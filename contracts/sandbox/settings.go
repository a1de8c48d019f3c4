package sandbox

import "time"

// ProviderSettings are those of the payment provider.
type ProviderSettings struct {
	Latency time.Duration `setting:"latency" default:"0s" min:"0s" max:"1m" doc:"added to every answer of the provider"`
	Trouble Trouble       `setting:"trouble" default:"none" oneof:"none,error,hang" doc:"what is wrong with the provider: it answers unavailable, or never"`
}

// CarrierSettings are those of the carrier.
type CarrierSettings struct {
	Latency time.Duration `setting:"latency" default:"0s" min:"0s" max:"1m" doc:"added to every answer of the carrier"`
	Trouble Trouble       `setting:"trouble" default:"none" oneof:"none,error,hang" doc:"what is wrong with the carrier: it answers unavailable, or never"`
}

// Trouble is what is wrong with a firm, as a whole. Calls that it hinders have no effect.
type Trouble string

// The troubles of a firm.
const (
	NoTrouble    Trouble = "none"
	TroubleError Trouble = "error" // it answers every call with unavailable
	TroubleHang  Trouble = "hang"  // it answers no call
)
