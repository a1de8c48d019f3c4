package event

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/contract"
)

const (
	gateLimit    = 5 // errors in a row, with no other outcome between them
	gatePauseMin = 250 * time.Millisecond
	gatePauseMax = 10 * time.Second
)

// unavailable reports whether an error says that something the handler depends on is
// down or overloaded, rather than that the event is bad.
func unavailable(err error) bool {
	if err == nil {
		return false
	}
	if e, ok := errors.AsType[*contract.Error](err); ok {
		return e.Code == contract.Unavailable || e.Code == contract.Exhausted || e.Code == contract.Deadline
	}
	for _, target := range []error{
		nats.ErrNoResponders, nats.ErrTimeout, nats.ErrConnectionClosed, nats.ErrDisconnected,
		bus.ErrUnknown, bus.ErrNoStream, context.DeadlineExceeded,
	} {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}

// retryAfter is how long the failing side asked to be left alone.
func retryAfter(err error) time.Duration {
	if e, ok := errors.AsType[*contract.Error](err); ok {
		return e.RetryAfter
	}
	return 0
}

// gate stops a consumer while a dependency is down. It closes after several
// unavailable errors in a row; then one delivery at a time is let through after a
// growing pause, and the first that does not meet the same error opens it.
type gate struct {
	closed   atomic.Bool  // written under mu
	failures atomic.Int32 // unavailable errors in a row

	mu      sync.Mutex
	pause   time.Duration
	until   time.Time
	probing bool
	changed chan struct{} // closed and replaced whenever waiting makes no sense any more
}

func newGate() *gate { return &gate{changed: make(chan struct{})} }

// enter waits until a delivery may run and returns false when quit was closed. Each
// enter that returned true is followed by a leave.
func (g *gate) enter(quit <-chan struct{}) bool {
	for g.closed.Load() {
		through, changed, wait := g.try(time.Now())
		if through {
			return true
		}
		var timer <-chan time.Time
		if wait > 0 {
			timer = time.After(wait)
		}
		select {
		case <-changed:
		case <-timer:
		case <-quit:
			return false
		}
	}
	return true
}

// try takes the place of the probe if it is free.
func (g *gate) try(now time.Time) (through bool, changed <-chan struct{}, wait time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case !g.closed.Load():
		return true, nil, 0
	case g.probing:
		return false, g.changed, 0
	case now.Before(g.until):
		return false, g.changed, g.until.Sub(now)
	}
	g.probing = true
	return true, nil, 0
}

// leave reports the end of a handler and returns true when the gate opens.
func (g *gate) leave(unavailable bool) (opened bool) {
	if !unavailable {
		if g.failures.Load() != 0 {
			g.failures.Store(0)
		}
		return g.closed.Load() && g.open()
	}
	failures := g.failures.Add(1)
	if failures < gateLimit && !g.closed.Load() {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case !g.closed.Load():
		g.closed.Store(true)
		g.pause = gatePauseMin
	case g.probing:
		g.pause = min(2*g.pause, gatePauseMax)
	default: // it was running already when the gate closed
		return false
	}
	g.until, g.probing = time.Now().Add(g.pause), false
	g.wake()
	return false
}

func (g *gate) open() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	was := g.closed.Swap(false)
	g.probing = false
	g.wake()
	return was
}

func (g *gate) wake() {
	close(g.changed)
	g.changed = make(chan struct{})
}
