package rpc

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// callContext is a context with a deadline that starts a timer only when somebody
// waits for it: most handlers never do, and a timer per request would be the
// largest single cost of this package.
type callContext struct {
	context.Context //nolint:containedctx // it is a context
	deadline        time.Time

	mu       sync.Mutex
	finished bool
	cancel   context.CancelFunc
	inner    atomic.Pointer[innerContext] // the ordinary context, once somebody waits
}

type innerContext struct{ context.Context } //nolint:containedctx // it is a context

// Deadline is the caller's.
func (c *callContext) Deadline() (time.Time, bool) { return c.deadline, true }

// Done makes the timer.
func (c *callContext) Done() <-chan struct{} { return c.wait().Done() }

// Err is consistent with Done: it makes the timer when the time has passed.
func (c *callContext) Err() error {
	if inner := c.inner.Load(); inner != nil {
		return inner.Err()
	}
	if c.Context.Err() == nil && time.Now().Before(c.deadline) && !c.isFinished() {
		return nil
	}
	return c.wait().Err()
}

// Value asks the ordinary context first, so that contexts derived from this one
// find the canceller that belongs to Done.
func (c *callContext) Value(key any) any {
	if inner := c.inner.Load(); inner != nil {
		return inner.Value(key)
	}
	return c.Context.Value(key)
}

func (c *callContext) wait() context.Context {
	if inner := c.inner.Load(); inner != nil {
		return inner
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if inner := c.inner.Load(); inner != nil {
		return inner
	}
	ctx, cancel := context.WithDeadline(c.Context, c.deadline)
	if c.cancel = cancel; c.finished {
		cancel()
	}
	inner := &innerContext{ctx}
	c.inner.Store(inner)
	return inner
}

func (c *callContext) isFinished() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.finished
}

// finish ends the context when the handler has returned.
func (c *callContext) finish() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.finished = true
	if c.cancel != nil {
		c.cancel()
	}
}
