package config

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
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

// scope is what a watch follows and how it speaks of that.
type scope struct {
	service  string
	document string // the name of a document, "" for settings
	bucket   string
	filter   string // subject of the keys
	consumer string // beginning of the names of its consumers
	one, all string // what is followed: "setting", "settings"
	reports  string // beginning of the key of an instance's report
	refusals string // beginning of the keys of refusals
}

// change is one entry of the bucket.
type change struct {
	key      string
	revision uint64
	at       time.Time
	deleted  bool
	data     []byte
}

// state is what a history of changes leads to. It is a function of the history alone, so
// that instances that saw the same one agree.
type state interface {
	apply(c change) (changed bool) // takes a change and reports whether it has an effect on the value
	head() uint64                  // revision of the last change that was looked at
	value() any                    // what readers get
	refusals() []Refusal           // what is not used
	describe(i *Instance)          // adds what a report says of the value
}

// watch keeps a state in step with a bucket.
type watch struct {
	scope
	conn    *bus.Conn
	fresh   func() (state, error) // the state before the first change
	publish func(value any)
	ready   chan struct{}
	wake    chan struct{} // asks for a report
	meters  meters
	self    Instance // what never changes

	mu       sync.Mutex
	state    state
	verified time.Time          // when the state was last known to be the bucket's
	untold   map[string]Refusal // by key: refusals that are not in the bucket of reports yet
}

func newWatch(conn *bus.Conn, s scope, fresh func() (state, error), publish func(any)) (*watch, error) {
	now, err := fresh()
	if err != nil {
		return nil, err
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	w := &watch{
		scope: s, conn: conn, fresh: fresh, publish: publish, state: now,
		ready: make(chan struct{}), wake: make(chan struct{}, 1), meters: newMeters(conn.Telemetry(), s),
		self: Instance{
			Service: s.service, Document: s.document, Instance: nuid.Next(), Host: host, PID: os.Getpid(), Started: time.Now().UTC(),
		},
		verified: time.Now(), untold: map[string]Refusal{},
	}
	publish(now.value())
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
		log.WarnContext(ctx, "the "+w.all+" are read again from the bucket", telemetry.KeyDelay, pause, telemetry.KeyError, fmt.Sprint(err))
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
func (w *watch) install(ctx context.Context, now state) {
	w.mu.Lock()
	before := w.state
	w.state, w.verified = now, time.Now()
	w.mu.Unlock()
	w.publish(now.value())
	w.tell(ctx, before.refusals(), now)
	select {
	case <-w.ready:
	default:
		close(w.ready)
	}
}

// take applies one change to the current state.
func (w *watch) take(ctx context.Context, c change) {
	w.mu.Lock()
	now := w.state
	before := now.refusals()
	changed := now.apply(c)
	value := now.value()
	w.mu.Unlock()
	if changed {
		w.publish(value)
		w.meters.changes.Inc()
		w.conn.Telemetry().Logger.InfoContext(ctx, "a "+w.one+" has changed", w.one, telemetry.Escape(c.key), keyRevision, c.revision)
	}
	w.tell(ctx, before, now)
}

// tell reports refusals that are new and asks for a new report of the instance.
func (w *watch) tell(ctx context.Context, before []Refusal, now state) {
	known := make(map[string]uint64, len(before))
	for _, r := range before {
		known[r.Key] = r.Revision
	}
	refused := now.refusals()
	for _, r := range refused {
		if known[r.Key] == r.Revision {
			continue
		}
		w.mu.Lock()
		w.untold[r.Key] = r
		w.mu.Unlock()
		w.meters.refusals.Inc()
		w.conn.Telemetry().Logger.ErrorContext(ctx, "a "+w.one+" in the bucket cannot be used; the last good value stays",
			w.one, telemetry.Escape(r.Key), keyRevision, r.Revision, telemetry.KeyReason, telemetry.Escape(r.Reason))
	}
	w.meters.revision.Set(float64(now.head()))
	w.meters.refused.Set(float64(len(refused)))
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
	s.Revision, s.Refused, s.Verified = w.state.head(), w.state.refusals(), w.verified.UTC()
	w.state.describe(&s)
	return s
}
