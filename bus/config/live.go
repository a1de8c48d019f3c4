package config

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nuid"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/telemetry"
)

const (
	pauseMin = 50 * time.Millisecond
	pauseMax = 2 * time.Second
)

// Live is the settings of one instance of a service, as they are now.
type Live[T any] struct {
	current atomic.Pointer[T]
	watch   *watch
}

// NewLive returns settings that begin with base, which comes from [Sources.Values]; nil is
// the defaults. Nothing is read from the bucket before Run.
func NewLive[T any](conn *bus.Conn, schema *Schema, base Values) (*Live[T], error) {
	if base == nil {
		base = schema.defaults()
	}
	l := &Live[T]{}
	w, err := newWatch(conn, schema, base, func(values any) {
		if v, ok := values.(*T); ok {
			l.current.Store(v)
		}
	})
	if err != nil {
		return nil, err
	}
	if l.current.Load() == nil {
		return nil, fmt.Errorf("config: the settings of %s are no %T", schema.service, *new(T))
	}
	l.watch = w
	return l, nil
}

// Get returns the settings of this moment. It costs one atomic load; a caller that needs
// several settings to fit together takes them from one Get.
func (l *Live[T]) Get() T { return *l.current.Load() }

// Ready is closed once the bucket was read: from then on Get knows what it says.
func (l *Live[T]) Ready() <-chan struct{} { return l.watch.ready }

// Status is what this instance runs.
func (l *Live[T]) Status() Instance { return l.watch.status() }

// Run follows the bucket until ctx ends, through outages, lost consumers and a bucket that
// is not there yet. Meanwhile the values stay as they are.
func (l *Live[T]) Run(ctx context.Context) error { return l.watch.run(ctx) }

// watch is Live without the type.
type watch struct {
	conn    *bus.Conn
	schema  *Schema
	base    Values
	publish func(values any)
	ready   chan struct{}
	wake    chan struct{} // asks for a report
	meters  meters
	self    Instance // what never changes

	mu       sync.Mutex
	state    *fold
	verified time.Time          // when the state was last known to be the bucket's
	untold   map[string]Refusal // by key: refusals that are not in the bucket of reports yet
}

func newWatch(conn *bus.Conn, schema *Schema, base Values, publish func(any)) (*watch, error) {
	state, err := newFold(schema, base)
	if err != nil {
		return nil, err
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	w := &watch{
		conn: conn, schema: schema, base: base, publish: publish, state: state,
		ready: make(chan struct{}), wake: make(chan struct{}, 1), meters: newMeters(conn.Telemetry(), schema.service),
		self:     Instance{Service: schema.service, Instance: nuid.Next(), Host: host, PID: os.Getpid(), Started: time.Now().UTC()},
		verified: time.Now(), untold: map[string]Refusal{},
	}
	publish(state.values)
	return w, nil
}

func (w *watch) run(ctx context.Context) error {
	return bus.Run(ctx, runner(w.follow), runner(w.report), runner(w.age))
}

type runner func(context.Context) error

func (r runner) Run(ctx context.Context) error { return r(ctx) }

// follow reads the bucket again and again: each time from the beginning of its history.
func (w *watch) follow(ctx context.Context) error {
	log := w.conn.Telemetry().Logger
	pause := pauseMin
	for {
		begin := time.Now()
		err := w.replay(ctx)
		switch {
		case ctx.Err() != nil:
			return nil //nolint:nilerr // the end of ctx has caused it
		case errors.Is(err, nats.ErrConnectionClosed):
			return err
		}
		if time.Since(begin) > pauseMax {
			pause = pauseMin
		}
		log.WarnContext(ctx, "the settings are read again from the bucket", telemetry.KeyDelay, pause, telemetry.KeyError, fmt.Sprint(err))
		w.meters.restarts.Inc()
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
			pause = min(2*pause, pauseMax)
		}
	}
}

// install makes a state that was read from the beginning the current one.
func (w *watch) install(ctx context.Context, state *fold) {
	w.mu.Lock()
	before := w.state
	w.state, w.verified = state, time.Now()
	w.mu.Unlock()
	w.publish(state.values)
	w.tell(ctx, before.refused, state)
	select {
	case <-w.ready:
	default:
		close(w.ready)
	}
}

// take applies one change to the current state.
func (w *watch) take(ctx context.Context, c change) {
	w.mu.Lock()
	state := w.state
	before := maps.Clone(state.refused)
	changed := state.apply(c)
	values := state.values
	w.mu.Unlock()
	if changed {
		w.publish(values)
		w.meters.changes.Inc()
		w.conn.Telemetry().Logger.InfoContext(ctx, "a setting has changed", keySetting, telemetry.Escape(c.key), keyRevision, c.revision)
	}
	w.tell(ctx, before, state)
}

// tell reports refusals that are new and asks for a new report of the instance.
func (w *watch) tell(ctx context.Context, before map[string]pending, state *fold) {
	for _, r := range state.refusals() {
		if before[r.Key].revision == r.Revision {
			continue
		}
		w.mu.Lock()
		w.untold[r.Key] = r
		w.mu.Unlock()
		w.meters.refusals.Inc()
		w.conn.Telemetry().Logger.ErrorContext(ctx, "a setting in the bucket cannot be used; the last good value stays",
			keySetting, telemetry.Escape(r.Key), keyRevision, r.Revision, telemetry.KeyReason, telemetry.Escape(r.Reason))
	}
	w.meters.revision.Set(float64(state.revision))
	w.meters.refused.Set(float64(len(state.refused)))
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// verify notes that the state is that of the bucket.
func (w *watch) verify() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.verified = time.Now()
}

// status is a report of this instant.
func (w *watch) status() Instance {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.self
	s.Revision, s.Refused, s.Verified = w.state.revision, w.state.refusals(), w.verified.UTC()
	values := w.state.merged(w.state.bucket)
	for _, setting := range w.schema.list {
		v := values[setting.Name]
		s.Settings = append(s.Settings, reported(setting, v))
	}
	return s
}
