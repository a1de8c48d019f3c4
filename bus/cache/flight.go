package cache

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/telemetry"
)

// flight is one read on behalf of everybody who asks for the key meanwhile.
type flight[V any] struct {
	done chan struct{} // closed when the rest is set
	got  answer[V]
	err  error
}

// answer is an entry and where it comes from.
type answer[V any] struct {
	*entry[V]
	from level
}

var (
	landed = func() chan struct{} {
		c := make(chan struct{})
		close(c)
		return c
	}()
	errTooSlow  = errors.New("the source is slow and something older will do")
	errPanicked = errors.New("the source panicked")
)

// wait returns what the flight brings, or an error when the caller's patience ends.
func (f *flight[V]) wait(ctx context.Context, enough <-chan time.Time) (answer[V], error) {
	select {
	case <-f.done:
		return f.got, f.err
	default:
	}
	select {
	case <-f.done:
		return f.got, f.err
	case <-enough:
		return answer[V]{}, errTooSlow
	case <-ctx.Done():
		return answer[V]{}, ctx.Err()
	}
}

// join returns the flight of a key, and begins one if there is none. It looks into the
// near level again: the last flight may have landed since the caller looked.
func (c *Cache[V]) join(ctx context.Context, key string) *flight[V] {
	c.mu.Lock()
	if f := c.flights[key]; f != nil {
		c.mu.Unlock()
		return f
	}
	if e := c.fresh(key); e != nil {
		c.mu.Unlock()
		return &flight[V]{done: landed, got: answer[V]{e, levelNear}}
	}
	f := &flight[V]{done: make(chan struct{})}
	c.flights[key] = f
	closed := c.closed
	if !closed {
		c.running.Add(1)
	}
	c.mu.Unlock()
	ctx = context.WithoutCancel(ctx) // whoever began it may leave
	if closed {
		c.fly(ctx, key, f)
		return f
	}
	if e := c.fetch(ctx, key); e != nil { // which takes no time worth a goroutine
		c.land(key, f, answer[V]{e, levelRemote}, nil)
		c.running.Done()
		return f
	}
	go func() {
		defer c.running.Done()
		c.fly(ctx, key, f)
	}()
	return f
}

// fly reads the source and lands. The remote level gets the entry when nobody waits any
// more.
func (c *Cache[V]) fly(ctx context.Context, key string, f *flight[V]) {
	loading, cancel := context.WithTimeout(ctx, c.opts.loadTimeout)
	defer cancel()
	got, err := c.load(loading, key)
	c.land(key, f, got, err)
	if err == nil {
		c.share(ctx, key, got.entry)
	}
}

// land brings everybody the answer: the entry is in the near level before the next flight
// of the key can begin.
func (c *Cache[V]) land(key string, f *flight[V], got answer[V], err error) {
	if err == nil {
		c.keep(key, got.entry)
	}
	c.mu.Lock()
	delete(c.flights, key)
	c.mu.Unlock()
	f.got, f.err = got, err
	close(f.done)
}

// load asks the source.
func (c *Cache[V]) load(ctx context.Context, key string) (answer[V], error) {
	select {
	case c.loads <- struct{}{}:
		defer func() { <-c.loads }()
	case <-ctx.Done():
		return answer[V]{}, fmt.Errorf("wait for the source: %w", ctx.Err())
	}
	e := &entry[V]{at: c.tracking.at()}
	var refusal error
	err := c.opts.sourceGuard.Do(ctx, func(ctx context.Context) (err error) {
		e.value, e.version, err = c.ask(ctx, key)
		if contract.IsRefusal(err) { // an answer, and no sign of trouble
			refusal, err = err, nil
		}
		return err
	})
	if err = errors.Join(err, refusal); err != nil {
		return answer[V]{}, err
	}
	e.read = c.now()
	e.until = e.read + int64(c.life(e.version))
	return answer[V]{e, levelSource}, nil
}

// ask calls the source and survives its panic, which would otherwise take the process
// with it: nobody stands above a flight.
func (c *Cache[V]) ask(ctx context.Context, key string) (value V, version uint64, err error) {
	defer func() {
		if r := recover(); r != nil {
			c.tel.Logger.ErrorContext(ctx, "a source panicked", slog.String(telemetry.KeyCache, c.name), slog.String(telemetry.KeyPanic, fmt.Sprint(r)), telemetry.Stack(1))
			err = fmt.Errorf("%w: %w", contract.ErrInternal, errPanicked)
		}
	}()
	return c.source(ctx, key)
}

// life is how long an entry is fresh, up to a tenth less so that what was read together
// does not expire together.
func (c *Cache[V]) life(version uint64) time.Duration {
	l := c.opts.lifetimes()
	d := l.Fresh
	if version == 0 {
		d = l.Unknown
	}
	d = max(d, 0)
	return d - rand.N(d/10+1)
}
