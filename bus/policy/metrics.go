package policy

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ordermesh/ordermesh/bus/telemetry"
)

// counts are what has happened since the start.
type counts struct {
	attempts, failures, repeats, unpaid, kept, limited, hedges, opened atomic.Int64
}

// Counts are the numbers of one executor since its start.
type Counts struct {
	Attempts int64 `json:"attempts"` // sent to the destination
	Failures int64 `json:"failures"` // of these, what counts against it
	Repeats  int64 `json:"repeats"`  // tries beyond the first
	Unpaid   int64 `json:"unpaid"`   // repeats for which the budget was empty
	Kept     int64 `json:"kept"`     // not sent: the breaker was open
	Limited  int64 `json:"limited"`  // not sent: a limit was reached
	Hedges   int64 `json:"hedges"`   // second requests beside slow ones
	Opened   int64 `json:"opened"`   // times that the breaker has opened
}

func (c *counts) read() Counts {
	return Counts{
		Attempts: c.attempts.Load(), Failures: c.failures.Load(), Repeats: c.repeats.Load(), Unpaid: c.unpaid.Load(),
		Kept: c.kept.Load(), Limited: c.limited.Load(), Hedges: c.hedges.Load(), Opened: c.opened.Load(),
	}
}

// meters are what Prometheus sees. Attempts and their times are with the calls
// themselves, in rpc_client_seconds.
type meters struct {
	failures, repeats, unpaid, kept, limited, hedges, opened prometheus.Counter
	states                                                   map[State]prometheus.Gauge
}

func newMeters(t *telemetry.Telemetry, service, destination string) meters {
	counter := func(name, help string) prometheus.Counter {
		return t.Counter("calls_"+name+"_total", help, "service", "destination").WithLabelValues(service, destination)
	}
	m := meters{
		failures: counter("failures", "Attempts that counted against the destination."),
		repeats:  counter("repeats", "Attempts beyond the first of a call."),
		unpaid:   counter("unpaid", "Repeats that were not made because the retry budget was empty."),
		kept:     counter("kept", "Attempts that were not made because the breaker was open."),
		limited:  counter("limited", "Attempts that were not made because of a limit."),
		hedges:   counter("hedges", "Requests made beside slow ones."),
		opened:   counter("opened", "Times that the breaker has opened."),
		states:   map[State]prometheus.Gauge{},
	}
	breaker := t.Gauge("calls_breaker", "1 for the state in which the breaker is.", "service", "destination", "state")
	for _, s := range []State{Closed, Open, HalfOpen, NoBreak} {
		m.states[s] = breaker.WithLabelValues(service, destination, string(s))
	}
	return m
}

// show sets the gauge of the state.
func (m *meters) show(now State) {
	for s, g := range m.states {
		if s == now {
			g.Set(1)
		} else {
			g.Set(0)
		}
	}
}
