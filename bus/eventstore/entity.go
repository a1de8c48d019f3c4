package eventstore

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/failpoint"
	"github.com/ordermesh/ordermesh/bus/telemetry"
)

const maxCommandID = 256

// Entity runs commands of type C on entities of one kind with state S and events E.
// The zero S is the state before the first event. It is safe for concurrent use and
// has no goroutine while nothing waits.
type Entity[S, C, E any] struct {
	log     Log
	events  contract.Events[E]
	info    contract.EventsInfo
	decide  func(S, C) ([]E, error)
	evolve  func(S, E) S
	queue   int
	schema  int
	tel     *telemetry.Telemetry
	metrics metrics
	cache   *cache[slot[S, C]]
	pool    sync.Pool // of *request[S, C]
}

// NewEntity returns the entities that events describes, stored in log. Decide
// returns the events of a command, none for "nothing to do", or why it is refused;
// evolve applies an event. Both are pure. A state that JSON would not preserve
// panics at start-up: it must be a struct without unexported fields, or a map.
func NewEntity[S, C, E any](log Log, events contract.Events[E], decide func(S, C) ([]E, error), evolve func(S, E) S, opts ...Option) *Entity[S, C, E] {
	checkState[S]()
	s := newSettings(log, opts)
	e := &Entity[S, C, E]{
		log: log, events: events, info: events.Info(), decide: decide, evolve: evolve,
		queue: s.queue, schema: s.schema, tel: s.telemetry,
		metrics: newMetrics(s.telemetry, events.Info().Entity),
		cache:   newCache[slot[S, C]](s.cache),
	}
	e.pool.New = func() any { return &request[S, C]{done: make(chan struct{}, 1)} }
	return e
}

// Do runs a command and returns the entity's state and version after it, once its
// events are stored. A command id that was used before changes nothing: the answer
// is the state now and the version at which that command's events ended. An empty
// id is never recognised. When decide refuses, its error is returned with the state
// and version that it was decided on.
//
// contract.Deadline means that the outcome is unknown; contract.Unavailable and
// contract.Exhausted that nothing was stored.
func (e *Entity[S, C, E]) Do(ctx context.Context, id, commandID string, cmd C) (S, uint64, error) {
	if !e.tel.Tracing() {
		return e.do(ctx, id, commandID, cmd)
	}
	ctx, span := e.tel.Start(ctx, e.info.Entity+" do", trace.SpanKindInternal)
	span.SetAttributes(attribute.String(telemetry.KeyEntity, e.info.Entity), attribute.String(telemetry.KeyEntityID, id),
		attribute.String(telemetry.KeyCommand, commandID))
	state, version, err := e.do(ctx, id, commandID, cmd)
	telemetry.End(span, err)
	return state, version, err
}

func (e *Entity[S, C, E]) do(ctx context.Context, id, commandID string, cmd C) (S, uint64, error) {
	r := e.request(ctx)
	r.cmd, r.id = cmd, commandID
	if commandID != "" {
		if !validCommandID(commandID) {
			var zero S
			return zero, 0, ErrCommandID
		}
		r.hash = hashID(commandID)
	}
	if actor := telemetry.ActorFrom(ctx); actor.Who != "" || actor.For != "" || actor.Request != "" || len(actor.Scopes) > 0 {
		r.actor = actor.Encode()
	}
	if trace.SpanContextFromContext(ctx).IsValid() {
		h := nats.Header{}
		telemetry.InjectTrace(ctx, h)
		r.trace = h.Get(contract.HeaderTrace)
	}
	return e.submit(ctx, id, r)
}

// Get returns the entity's state and version; version 0 means that it does not
// exist. It reflects everything that was acknowledged before the call.
func (e *Entity[S, C, E]) Get(ctx context.Context, id string) (S, uint64, error) {
	r := e.request(ctx)
	r.read = true
	return e.submit(ctx, id, r)
}

// Peek returns the entity's state and version as far as this process remembers them:
// version 0 when it does not, although the entity may exist. Use it to choose what to
// try next, where the try itself finds out, and never for an answer.
func (e *Entity[S, C, E]) Peek(ctx context.Context, id string) (S, uint64, error) {
	r := e.request(ctx)
	r.read, r.stale = true, true
	return e.submit(ctx, id, r)
}

func validCommandID(id string) bool {
	return len(id) <= maxCommandID && utf8.ValidString(id) && strings.IndexFunc(id, func(r rune) bool { return !unicode.IsPrint(r) }) < 0
}

func (e *Entity[S, C, E]) request(ctx context.Context) *request[S, C] {
	r, _ := e.pool.Get().(*request[S, C])
	r.ctx = ctx
	return r
}

// submit has the request answered: by this goroutine when the entity is idle, else
// by the one that is at work on it.
func (e *Entity[S, C, E]) submit(ctx context.Context, id string, r *request[S, C]) (S, uint64, error) {
	var zero S
	if !contract.ValidID(id) {
		return zero, 0, contract.CheckID("/"+e.info.Entity+"_id", id)
	}
	if ctx.Err() != nil {
		return zero, 0, over(ctx)
	}
	c := e.cache.acquire(id, func(s *slot[S, C]) { s.subject, _ = e.info.Subject(id) })
	defer e.cache.release(c)
	switch c.value.enter(r, e.queue) {
	case full:
		e.metrics.requests[failed].Inc()
		return zero, 0, contract.ErrExhausted.After(retryExhausted)
	case first:
		e.lead(ctx, c, r)
	case queued:
		select {
		case <-r.done:
		case <-ctx.Done():
			return zero, 0, unknown(ctx) // r stays with the queue, which counts it
		}
	}
	state, version, err := r.state, r.version, r.err
	r.reset()
	e.pool.Put(r)
	return state, version, err
}

// lead works on the caller's own request alone, within its deadline, and leaves
// what has queued up meanwhile to a goroutine.
func (e *Entity[S, C, E]) lead(ctx context.Context, c *cached[slot[S, C]], r *request[S, C]) {
	s := &c.value
	if failpoint.EarlyAck {
		s.mu.Lock()
		s.queue = append(s.queue, r)
		s.mu.Unlock()
		c.hold()
		go e.drain(c) //nolint:contextcheck // each group has the context of its callers
		<-r.done
		return
	}
	r.own, r.leader = [1]*request[S, C]{r}, true
	e.process(ctx, s, r.own[:])
	if s.leave() {
		return
	}
	c.hold()
	go e.drain(c) //nolint:contextcheck // each group has the context of its callers
}

// over is the error for a request that was not begun before its time ran out or its
// caller gave up.
func over(ctx context.Context) error {
	return fmt.Errorf("%w: %w", contract.AsError(ctx.Err()), ctx.Err())
}

// unknown is over for a request whose events may be stored all the same.
func unknown(ctx context.Context) error {
	return fmt.Errorf("%w: %w", contract.ErrDeadline, ctx.Err())
}
