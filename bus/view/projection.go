package view

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/event"
	"github.com/ordermesh/ordermesh/bus/internal/pull"
	"github.com/ordermesh/ordermesh/bus/telemetry"
)

const (
	batch    = 256                   // messages folded at once at most
	prefetch = 4 * batch             // messages on their way
	idleLife = 30 * time.Second      // of the consumer after its process is gone
	gather   = 20 * time.Millisecond // how late a view of a busy stream may be
	pauseMin = 50 * time.Millisecond
	pauseMax = 2 * time.Second
)

// ErrAhead reports a checkpoint beyond the end of the stream: the stream was restored
// from an older copy, or is another one. The view must be rebuilt.
var ErrAhead = errors.New("the view's checkpoint is beyond the end of the stream: rebuild the view")

// Fold says how events become a row and in which lists the row is. Both are pure.
type Fold[E, R any] struct {
	Apply func(row R, e event.Event[E]) R // the zero row is the row before the first event
	Lists func(row R) []Place             // nil: the rows are in no list
}

// Projection keeps a store up to date with the stream, over a consumer of its own that
// lives and dies with it.
type Projection[E, R any] struct {
	conn   *bus.Conn
	events contract.Events[E]
	store  Store[R]
	fold   Fold[E, R]
	looked chan struct{} // closed when the stream was looked at first

	queue   chan *nats.Msg
	pending atomic.Uint64 // behind the last message that was taken
	skipped prometheus.Counter
	lag     prometheus.Gauge

	mu      sync.Mutex
	moved   chan struct{} // closed and replaced when rows changed
	sawOnce sync.Once
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
	return &Projection[E, R]{
		conn: conn, events: events, store: store, fold: fold,
		looked: make(chan struct{}), queue: make(chan *nats.Msg, 2*prefetch), moved: make(chan struct{}),
		skipped: tel.Counter("view_skipped_total", "Messages or events that a view left out.", "service", "entity").WithLabelValues(conn.Service(), entity),
		lag:     tel.Gauge("view_behind_messages", "Messages that a view has not seen yet.", "service", "entity").WithLabelValues(conn.Service(), entity),
	}, nil
}

// Run keeps the store up to date until ctx ends. Outages, a stream that does not exist
// yet and a lost consumer are waited out and repaired; ErrAhead ends it.
func (p *Projection[E, R]) Run(ctx context.Context) error {
	log := p.conn.Telemetry().Logger.With(telemetry.KeyStream, p.events.Info().Stream, telemetry.KeyEntity, p.events.Info().Entity)
	pause := pauseMin
	for {
		begin := time.Now()
		err := p.follow(ctx)
		switch {
		case ctx.Err() != nil:
			return nil //nolint:nilerr // the end of ctx has caused it
		case errors.Is(err, ErrAhead), errors.Is(err, nats.ErrConnectionClosed):
			return err
		}
		if time.Since(begin) > pauseMax {
			pause = pauseMin
		}
		log.WarnContext(ctx, "the view starts again from its checkpoint", telemetry.KeyDelay, pause, telemetry.KeyError, errorText(err))
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
			pause = min(2*pause, pauseMax)
		}
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// follow reads from the checkpoint on until something breaks.
func (p *Projection[E, R]) follow(ctx context.Context) error {
	checkpoint, err := p.store.Checkpoint(ctx)
	if err != nil {
		return fmt.Errorf("read the checkpoint: %w", err)
	}
	name, err := p.consume(ctx, checkpoint)
	if err != nil {
		return err
	}
	p.sawOnce.Do(func() { close(p.looked) })
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	puller := pull.New(pull.Config{
		Conn: p.conn, Stream: p.events.Info().Stream, Consumer: name, Limit: prefetch, Gather: gather,
		Room:    func() int { return prefetch - len(p.queue) },
		Deliver: func(m *nats.Msg) { p.take(ctx, m) },
	})
	pulling := make(chan error, 1)
	go func() {
		defer cancel()
		pulling <- puller.Run(ctx)
	}()
	folding := p.foldAll(ctx, checkpoint, puller)
	cancel()
	err = errors.Join(folding, <-pulling)
	p.forget(name)
	return err
}

// take hands a message to the folding goroutine; after the end of ctx it is dropped,
// because the next follow reads it again.
func (p *Projection[E, R]) take(ctx context.Context, m *nats.Msg) {
	select {
	case p.queue <- m:
	case <-ctx.Done():
	}
}

// consume makes this projection's consumer, which starts after the checkpoint.
func (p *Projection[E, R]) consume(ctx context.Context, checkpoint Checkpoint) (string, error) {
	info := p.events.Info()
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	stream, err := p.conn.JetStream().Stream(ctx, info.Stream)
	if err != nil {
		return "", fmt.Errorf("look at stream %s: %w", info.Stream, err)
	}
	if last := stream.CachedInfo().State.LastSeq; checkpoint.Sequence > last {
		return "", fmt.Errorf("%s at %d, stream %s ends at %d: %w", info.Entity, checkpoint.Sequence, info.Stream, last, ErrAhead)
	}
	consumer, err := p.conn.JetStream().CreateConsumer(ctx, info.Stream, jetstream.ConsumerConfig{
		Name: "view-" + info.Entity + "-" + nuid.Next(), Description: "view of " + info.Entity + " in " + p.conn.Service(),
		FilterSubject: info.Filter(), DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: checkpoint.Sequence + 1,
		AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, Replicas: 1, InactiveThreshold: idleLife,
	})
	if err != nil {
		return "", fmt.Errorf("make a consumer on %s: %w", info.Stream, err)
	}
	p.pending.Store(consumer.CachedInfo().NumPending)
	return consumer.CachedInfo().Name, nil
}

// forget deletes the consumer; should that fail it goes by itself.
func (p *Projection[E, R]) forget(name string) {
	for len(p.queue) > 0 {
		<-p.queue
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = p.conn.JetStream().DeleteConsumer(ctx, p.events.Info().Stream, name)
}

// foldAll folds what comes until ctx ends or a message is missing.
func (p *Projection[E, R]) foldAll(ctx context.Context, checkpoint Checkpoint, puller *pull.Puller) error {
	delivery := uint64(0)
	for {
		messages := p.next(ctx)
		if messages == nil {
			return nil
		}
		puller.Pull()
		b := newFolding[E, R](p)
		for _, m := range messages {
			at, ok := pull.ParsePosition(m.Reply)
			if !ok || at.Delivery != delivery+1 {
				return fmt.Errorf("delivery %d came after %d", at.Delivery, delivery)
			}
			delivery = at.Delivery
			b.add(m, at)
		}
		if err := b.apply(ctx, checkpoint); err != nil {
			return err
		}
		checkpoint.Sequence = b.to
		p.advance(b.pending)
	}
}

// next waits for a message and takes what else is there; nil at the end.
func (p *Projection[E, R]) next(ctx context.Context) []*nats.Msg {
	var messages []*nats.Msg
	select {
	case m := <-p.queue:
		messages = append(messages, m)
	case <-ctx.Done():
		return nil
	}
	for len(messages) < batch {
		select {
		case m := <-p.queue:
			messages = append(messages, m)
		default:
			return messages
		}
	}
	return messages
}

func (p *Projection[E, R]) advance(pending uint64) {
	p.pending.Store(pending)
	p.lag.Set(float64(p.behind()))
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.moved)
	p.moved = make(chan struct{})
}

// folding is one batch on its way into the store.
type folding[E, R any] struct {
	p       *Projection[E, R]
	events  []event.Event[E]
	to      uint64
	pending uint64
}

func newFolding[E, R any](p *Projection[E, R]) *folding[E, R] { return &folding[E, R]{p: p} }

func (b *folding[E, R]) add(m *nats.Msg, at pull.Position) {
	b.to, b.pending = at.Sequence, at.Pending
	events, err := event.Decode(b.p.events, m, at.Sequence)
	b.events = append(b.events, events...)
	if err == nil {
		return
	}
	b.p.skipped.Inc()
	b.p.conn.Telemetry().Logger.Warn("a view leaves out what it cannot read", telemetry.KeySubject, m.Subject,
		telemetry.KeySequence, at.Sequence, telemetry.KeyError, err.Error())
}

// apply loads the rows that the batch touches, folds, and stores all at once.
func (b *folding[E, R]) apply(ctx context.Context, from Checkpoint) error {
	var keys []string
	touched := map[string]bool{}
	for _, e := range b.events {
		if !touched[e.ID] {
			touched[e.ID] = true
			keys = append(keys, e.ID)
		}
	}
	rows, err := b.p.store.Rows(ctx, keys...)
	if err != nil {
		return fmt.Errorf("load rows: %w", err)
	}
	for _, e := range b.events {
		entry := rows[e.ID]
		entry.Key, entry.Version, entry.Row = e.ID, e.Version, b.p.fold.Apply(entry.Row, e)
		rows[e.ID] = entry
	}
	changes := make([]Change[R], len(keys))
	for i, key := range keys {
		changes[i] = Change[R]{rows[key], b.p.fold.Lists(rows[key].Row)}
	}
	if err := b.p.store.Apply(ctx, from, Checkpoint{Sequence: b.to, Behind: b.pending}, changes); err != nil {
		return fmt.Errorf("store rows: %w", err)
	}
	return nil
}
