package cache

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ordermesh/ordermesh/bus/contract"
)

const (
	pauseFirst   = time.Millisecond
	pauseLongest = 50 * time.Millisecond
	// lagging is how often a source is asked again that answers less than the feed has
	// told. The source is right: an archived entity begins anew.
	lagging = 4
)

// miss answers what the process does not have.
func (c *Cache[V]) miss(ctx context.Context, key string, stale bool) (V, uint64, error) {
	var zero V
	var spare *entry[V]
	var enough <-chan time.Time
	if stale {
		if spare = c.spare(key); spare != nil {
			t := time.NewTimer(spareAfter)
			defer t.Stop()
			enough = t.C
		}
	}
	pause := pauseFirst
	for try := 1; ; try++ {
		e, err := c.join(ctx, key).wait(ctx, enough)
		switch {
		case err == nil && (try >= lagging || c.tracking.reached(key) <= e.version):
			c.metrics.answer(e.from, c.now()-e.read)
			return e.value, e.version, nil
		case err == nil:
			rest(ctx, pause)
			pause = min(2*pause, pauseLongest)
		case spare != nil && c.tracking.reached(key) <= spare.version:
			c.metrics.answer(levelStale, c.now()-spare.read)
			return spare.value, spare.version, nil
		default:
			c.metrics.answer(levelNone, 0)
			return zero, 0, readError(ctx, key, err)
		}
	}
}

// spare is what may be answered should the source fail: expired or without a feed, but
// not known to be outdated.
func (c *Cache[V]) spare(key string) *entry[V] {
	e, ok := c.near.GetIfPresent(key)
	if !ok || time.Duration(c.now()-e.until) > c.opts.lifetimes().Stale {
		return nil
	}
	return e
}

// rest waits until a pause or ctx is over.
func rest(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// readError gives an error that has no code one that crosses the wire.
func readError(ctx context.Context, key string, err error) error {
	var coded *contract.Error
	switch {
	case errors.As(err, &coded):
		return err
	case ctx.Err() != nil:
		return fmt.Errorf("read %q: %w: %w", key, contract.AsError(ctx.Err()), err)
	}
	return fmt.Errorf("read %q: %w: %w", key, contract.ErrUnavailable, err)
}
