package policy

import "time"

// Status is what an executor does now.
type Status struct {
	Destination string    `json:"destination"`
	Revision    uint64    `json:"revision"` // of the document in force; 0 is the built-in policy
	Breaker     State     `json:"breaker"`
	Since       time.Time `json:"since,omitzero"` // when the breaker came into this state
	Remembered  int       `json:"remembered"`     // failures that the breaker counts now
	Counts      Counts    `json:"counts"`
	Calls       Calls     `json:"policy"`
}

// Event is a change of a breaker.
type Event struct {
	Service     string    `json:"service"`
	Destination string    `json:"destination"`
	Instance    string    `json:"instance,omitzero"`
	State       State     `json:"state"`
	Reason      string    `json:"reason,omitzero"` // the failure that opened it
	At          time.Time `json:"at"`
}

// Status is what the executor does now.
func (e *Executor) Status() Status {
	p := e.current.Load()
	s := Status{Destination: e.destination, Revision: p.revision, Breaker: NoBreak, Counts: e.count.read(), Calls: p.calls}
	if p.breaker != nil {
		s.Breaker, s.Since = p.breaker.state()
		s.Remembered = p.breaker.failures()
	}
	return s
}

// state is that of the breaker.
func (e *Executor) state(p *rules) State {
	if p.breaker == nil {
		return NoBreak
	}
	state, _ := p.breaker.state()
	return state
}
