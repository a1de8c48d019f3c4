package view

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/event"
	"github.com/ordermesh/ordermesh/bus/telemetry"
)

const (
	pauseMin  = 50 * time.Millisecond
	pauseMax  = 2 * time.Second
	haltPause = 5 * time.Second // until a halted view looks again whether it can go on
)

// Fold says how events become a row and in which lists the row is. Both are pure.
type Fold[E, R any] struct {
	Apply func(row R, e event.Event[E]) R // the zero row is the row before the first event
	Lists func(row R) []Place             // nil: the rows are in no list
}

// Projection keeps a store up to date with the stream, over a consumer of its own that
// lives and dies with it. Over a [Shared] store it does so while it is the one that was
// elected, and otherwise reads what the others write.
type Projection[E, R any] struct {
	conn       *bus.Conn
	events     contract.Events[E]
	store      Store[R]
	shared     Shared // nil for a store of this process alone
	fold       Fold[E, R]
	acceptGaps bool
	end        uint64 // the last sequence that counts; 0 for no end

	queue   chan *nats.Msg
	skipped prometheus.Counter
	failed  prometheus.Counter
	lag     prometheus.Gauge
	halted  prometheus.Gauge

	looked  chan struct{} // closed once it is known how far behind the view is
	sawOnce sync.Once
	mu      sync.Mutex
	at      Checkpoint
	leads   bool
	moved   chan struct{} // closed and replaced when the checkpoint changed
	reset   time.Time     // when the store was emptied to begin again
}

// New describes a projection; nothing happens before Run.
func New[E, R any](conn *bus.Conn, events contract.Events[E], store Store[R], fold Fold[E, R]) (*Projection[E, R], error) {
	if fold.Apply == nil {
		return nil, errors.New("view: a projection needs a fold")
	}
	if fold.Lists == nil {
		fold.Lists = func(R) []Place { return nil }
	}
	tel, entity := conn.Telemetry(), events.Info().Entity
	p := &Projection[E, R]{
		conn: conn, events: events, store: store, fold: fold,
		queue: make(chan *nats.Msg, 2*prefetch), looked: make(chan struct{}), moved: make(chan struct{}),
		skipped: tel.Counter("view_skipped_total", "Messages or events that a view left out.", "service", "entity").WithLabelValues(conn.Service(), entity),
		failed:  tel.Counter("view_failures_total", "Times that a view had to start again from its checkpoint.", "service", "entity").WithLabelValues(conn.Service(), entity),
		lag:     tel.Gauge("view_behind_messages", "Messages that a view has not seen yet.", "service", "entity").WithLabelValues(conn.Service(), entity),
		halted:  tel.Gauge("view_halted", "1 while a view stands still until somebody mends what it has met.", "service", "entity").WithLabelValues(conn.Service(), entity),
	}
	p.shared, _ = store.(Shared)
	return p, nil
}

// Run keeps the store up to date until ctx ends. Outages of NATS and of the store, a
// stream that does not exist yet and a lost consumer are waited out and repaired. What
// trying again does not mend halts the view: it stands still at its checkpoint, says why
// in its status and in each page, and looks again now and then.
func (p *Projection[E, R]) Run(ctx context.Context) error {
	defer p.conn.Report("view."+p.events.Info().Entity, func() any { return p.Status() })()
	pause := pauseMin
	for {
		begin := time.Now()
		err := p.participate(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, nats.ErrConnectionClosed):
			return err
		}
		if time.Since(begin) > pauseMax {
			pause = pauseMin
		}
		p.failed.Inc()
		p.logger().WarnContext(ctx, "the view starts again from its checkpoint", telemetry.KeyDelay, pause, telemetry.KeyError, errorText(err))
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
			pause = min(2*pause, pauseMax)
		}
	}
}

// participate writes the store, or takes turns with others in writing it.
func (p *Projection[E, R]) participate(ctx context.Context) error {
	if p.shared == nil {
		return p.lead(ctx)
	}
	return p.shared.Share(ctx, p.set, p.lead)
}

// lead folds until something breaks. A halted view stays with the one who has halted it.
func (p *Projection[E, R]) lead(ctx context.Context) error {
	p.setLeads(true)
	defer p.setLeads(false)
	for {
		at, err := p.follow(ctx)
		if ctx.Err() == nil && errors.Is(err, ErrMoved) && p.pause(ctx) {
			continue // it was rebuilt, or another one is elected and this one is about to hear of it
		}
		if ctx.Err() != nil || !halts(err) {
			return err
		}
		if p.beginsAgain(ctx, err) {
			continue
		}
		if err := p.halt(ctx, at, err); err != nil {
			return err
		}
		p.standStill(ctx, at)
	}
}

// pause reports whether there is time for another try.
func (p *Projection[E, R]) pause(ctx context.Context) bool {
	select {
	case <-time.After(pauseMin):
		return true
	case <-ctx.Done():
		return false
	}
}

// beginsAgain empties a store in memory that belongs to another history: filling it is
// all the remedy that it needs. If that happens again at once it helps nobody.
func (p *Projection[E, R]) beginsAgain(ctx context.Context, err error) bool {
	if p.shared != nil || !errors.Is(err, ErrAhead) && !errors.Is(err, ErrReplaced) || time.Since(p.reset) < 2*haltPause {
		return false
	}
	p.reset = time.Now()
	p.logger().WarnContext(ctx, "the view begins again", telemetry.KeyError, err.Error())
	return p.store.Reset(ctx) == nil
}

func (p *Projection[E, R]) halt(ctx context.Context, at Checkpoint, err error) error {
	reason := err.Error()
	if at.Halted != reason {
		p.logger().ErrorContext(ctx, "the view stands still", telemetry.KeyCheckpoint, at.Sequence, telemetry.KeyError, reason)
	}
	at.Halted = reason
	p.set(at)
	if p.shared == nil {
		return nil
	}
	return p.shared.Halt(ctx, at)
}

// standStill waits until it is time to look again, or until somebody has moved the
// checkpoint.
func (p *Projection[E, R]) standStill(ctx context.Context, at Checkpoint) {
	again := time.NewTimer(haltPause)
	defer again.Stop()
	for {
		now, moved := p.state()
		if !now.same(at) {
			return
		}
		select {
		case <-moved:
		case <-again.C:
			return
		case <-ctx.Done():
			return
		}
	}
}
