package policy

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"

	"github.com/ordermesh/ordermesh/bus/contract"
)

// ErrOpen says that the destination has failed too often lately and is left alone. Nothing was
// sent. RetryAfter says when it is asked again.
var ErrOpen = contract.NewError(contract.Unavailable, "breaker_open", "the destination fails and is left alone for a while")

// probePause is when to come back while others probe the destination.
const probePause = 50 * time.Millisecond

// State is where a breaker stands.
type State string

// The states of a breaker.
const (
	Closed   State = "closed"    // calls go through
	Open     State = "open"      // none does
	HalfOpen State = "half_open" // a few probes do
	NoBreak  State = "off"       // there is no breaker
)

// breaker is failsafe-go's with a door in front of it that is one atomic word: the state,
// and a generation that changes with it. A result counts only in the generation in which
// its attempt began, so that attempts that hang do not judge the probes that come after.
type breaker struct {
	rules Breaker
	word  atomic.Uint64 // generation<<2 | circuitbreaker.State
	dirty atomic.Bool   // successes are to be recorded
	tell  func(State, string)

	mu     sync.Mutex // of all that goes to inner
	inner  circuitbreaker.CircuitBreaker[any]
	since  time.Time
	reason string // the failure that is being recorded
}

func newBreaker(rules Breaker, tell func(State, string)) *breaker {
	b := &breaker{rules: rules, tell: tell, since: time.Now()}
	build := circuitbreaker.NewBuilder[any]().
		WithSuccessThresholdRatio(uint(rules.Successes), uint(2*rules.Successes)).WithDelay(rules.Open.Std()).OnStateChanged(b.changed)
	switch {
	case rules.Rate > 0:
		build = build.WithFailureRateThreshold(rules.Rate, uint(rules.Failures), rules.Within.Std())
	case rules.Of > 0:
		build = build.WithFailureThresholdRatio(uint(rules.Failures), uint(rules.Of))
	default:
		build = build.WithFailureThreshold(uint(rules.Failures))
	}
	b.inner = build.Build()
	b.dirty.Store(b.counts())
	return b
}

// counts reports whether every success matters: it does for a share.
func (b *breaker) counts() bool { return b.rules.Rate > 0 }

// changed hears of a new state, under the lock.
func (b *breaker) changed(e circuitbreaker.StateChangedEvent) {
	generation := b.word.Load()>>2 + 1
	b.word.Store(generation<<2 | uint64(e.NewState)) //nolint:gosec // 0 to 2
	b.dirty.Store(b.counts())
	b.since = time.Now()
	b.tell(stateOf(e.NewState), b.reason)
}

func stateOf(s circuitbreaker.State) State {
	switch s {
	case circuitbreaker.OpenState:
		return Open
	case circuitbreaker.HalfOpenState:
		return HalfOpen
	case circuitbreaker.ClosedState:
	}
	return Closed
}

// permit is the right to one attempt. It must be given back with settle.
type permit struct {
	word  uint64
	probe bool
}

// closed is the fast way: one load.
func (b *breaker) closed() (permit, bool) {
	word := b.word.Load()
	return permit{word: word}, word&3 == uint64(circuitbreaker.ClosedState)
}

// enter asks for an attempt, in any state.
func (b *breaker) enter() (permit, error) {
	if p, ok := b.closed(); ok {
		return p, nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reason = ""
	if !b.inner.TryAcquirePermit() {
		return permit{}, ErrOpen.After(max(b.inner.RemainingDelay(), probePause))
	}
	word := b.word.Load()
	return permit{word, word&3 == uint64(circuitbreaker.HalfOpenState)}, nil
}

// refuses reports an open breaker without asking for an attempt.
func (b *breaker) refuses() error {
	if b.word.Load()&3 != uint64(circuitbreaker.OpenState) {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if left := b.inner.RemainingDelay(); left > 0 && b.inner.IsOpen() {
		return ErrOpen.After(max(left, probePause))
	}
	return nil
}

// settle records how an attempt ended. Nothing of an older generation is recorded.
func (b *breaker) settle(p permit, o outcome, reason string) {
	if o == good && !b.dirty.Load() && !p.probe {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.word.Load() != p.word {
		return
	}
	switch {
	case o == bad, o == unknown && p.probe:
		b.reason = reason
		b.dirty.Store(true)
		b.inner.RecordFailure()
	case o == good:
		b.reason = ""
		b.inner.RecordSuccess()
		if !b.counts() && b.inner.Metrics().Failures() == 0 {
			b.dirty.Store(false)
		}
	}
}

// force opens it, because the one that it replaces was open.
func (b *breaker) force(reason string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reason = reason
	b.inner.Open()
}

// state is where it stands, and since when.
func (b *breaker) state() (State, time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return stateOf(b.inner.State()), b.since
}

// failures are those that it remembers.
func (b *breaker) failures() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return int(b.inner.Metrics().Failures())
}
