package view

import (
	"log/slog"

	"github.com/ordermesh/ordermesh/bus/telemetry"
)

// Status is what a projection tells about itself.
type Status struct {
	Service  string `json:"service"`
	Entity   string `json:"entity"`
	Stream   string `json:"stream"`
	Store    string `json:"store"` // where the rows are
	Known    bool   `json:"known"` // the numbers below are
	Sequence uint64 `json:"checkpoint"`
	Behind   uint64 `json:"behind"`
	Halted   string `json:"halted,omitempty"`
	Leads    bool   `json:"leads"` // this process folds
}

// Trouble says in one sentence what is wrong, "" for nothing.
func (s Status) Trouble() string {
	if s.Halted == "" {
		return ""
	}
	return "the view of " + s.Entity + " stands still: " + s.Halted
}

// Status is how the view is now.
func (p *Projection[E, R]) Status() Status {
	info := p.events.Info()
	_, known := p.Behind()
	p.mu.Lock()
	defer p.mu.Unlock()
	s := Status{
		Service: p.conn.Service(), Entity: info.Entity, Stream: info.Stream, Store: "memory",
		Known: known, Sequence: p.at.Sequence, Behind: p.at.Behind, Halted: p.at.Halted, Leads: p.leads,
	}
	if p.shared != nil {
		s.Store = p.shared.Name()
	}
	return s
}

// set notes where the store is and wakes who waits for that.
func (p *Projection[E, R]) set(at Checkpoint) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.at = at
	close(p.moved)
	p.moved = make(chan struct{})
	p.sawOnce.Do(func() { close(p.looked) })
	p.lag.Set(float64(at.Behind))
	p.halted.Set(0)
	if at.Halted != "" {
		p.halted.Set(1)
	}
}

// state is where the store is; the channel is closed when that changes.
func (p *Projection[E, R]) state() (Checkpoint, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.at, p.moved
}

func (p *Projection[E, R]) setLeads(leads bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.leads = leads
}

func (p *Projection[E, R]) logger() *slog.Logger {
	info := p.events.Info()
	return p.conn.Telemetry().Logger.With(telemetry.KeyStream, info.Stream, telemetry.KeyEntity, info.Entity)
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
