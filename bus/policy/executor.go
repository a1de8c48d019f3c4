package policy

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/failsafe-go/failsafe-go"

	"github.com/ordermesh/ordermesh/bus/telemetry"
)

// Executor runs the calls of one service to one destination under a policy that may change
// at any time. It is safe for concurrent use.
type Executor struct {
	service, destination string
	current              atomic.Pointer[rules]
	count                counts
	meters               meters
	log                  *slog.Logger
	announce             func(Event) // must not block

	mu sync.Mutex // of changes
}

// rules is a policy in force. It is replaced as a whole.
type rules struct {
	calls    Calls
	revision uint64
	breaker  *breaker // nil when it is off, and so on
	limits   limits
	budget   *budget
	hedge    failsafe.Policy[any]
}

// NewExecutor returns an executor that begins with the given policy.
func NewExecutor(tel *telemetry.Telemetry, service, destination string, calls Calls) (*Executor, error) {
	e := &Executor{
		service: service, destination: destination, log: tel.Logger,
		meters: newMeters(tel, service, destination), announce: func(Event) {},
	}
	e.current.Store(&rules{calls: Calls{Breaker: Breaker{Off: true}, Retry: Retry{Off: true}}})
	if err := e.Apply(calls, 0); err != nil {
		return nil, err
	}
	return e, nil
}

// Apply puts a policy into force. Parts that are the same as before go on as they are;
// a breaker that is open stays open under changed rules.
func (e *Executor) Apply(calls Calls, revision uint64) error {
	if err := calls.Validate(); err != nil {
		return fmt.Errorf("policy %s.%s: %w", e.service, e.destination, err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	old := e.current.Load()
	r := &rules{
		calls: calls, revision: revision, breaker: e.newBreaker(calls.Breaker, old), limits: newLimits(calls, old.calls, old.limits),
		budget: old.budget, hedge: newHedge(calls.Hedge, old.calls.Hedge, old.hedge),
	}
	if calls.Retry.Budget != old.calls.Retry.Budget || calls.Retry.Reserve != old.calls.Retry.Reserve || r.budget == nil {
		r.budget = newBudget(calls.Retry)
	}
	e.current.Store(r)
	e.meters.show(e.state(r))
	return nil
}

// newBreaker keeps the old one if the rules are the same.
func (e *Executor) newBreaker(b Breaker, old *rules) *breaker {
	switch {
	case b.Off:
		return nil
	case old.breaker != nil && old.breaker.rules == b:
		return old.breaker
	}
	fresh := newBreaker(b, e.turned)
	if old.breaker != nil {
		if state, _ := old.breaker.state(); state != Closed {
			fresh.force("it was open under the rules before")
		}
	}
	return fresh
}

// turned hears of each change of the breaker's state.
func (e *Executor) turned(state State, reason string) {
	e.meters.show(state)
	level, text := slog.LevelWarn, "breaker opened"
	switch state {
	case Open:
		e.count.opened.Add(1)
		e.meters.opened.Inc()
	case HalfOpen:
		level, text = slog.LevelDebug, "breaker lets probes through"
	case Closed, NoBreak:
		level, text = slog.LevelInfo, "breaker closed"
	}
	attrs := []slog.Attr{slog.String(keyDestination, e.destination)}
	if reason != "" {
		attrs = append(attrs, slog.String(telemetry.KeyReason, telemetry.Escape(reason)))
	}
	e.log.LogAttrs(context.Background(), level, text, attrs...)
	e.announce(Event{Service: e.service, Destination: e.destination, State: state, Reason: reason, At: time.Now().UTC()})
}

// keyDestination is the key of a log attribute.
const keyDestination = "destination"

// Service is whose calls these are.
func (e *Executor) Service() string { return e.service }

// Destination is who is called.
func (e *Executor) Destination() string { return e.destination }

// Calls is the policy in force.
func (e *Executor) Calls() Calls { return e.current.Load().calls }

// Timeout is how long one attempt may take; 0 is as long as its caller waits.
func (e *Executor) Timeout() time.Duration { return e.current.Load().calls.Timeout.Std() }
