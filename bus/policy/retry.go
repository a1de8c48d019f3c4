package policy

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ordermesh/ordermesh/bus/contract"
)

// pause is how long to wait after the given try: growing up to the longest, less a random
// part so that callers do not come back together, and never less than what was asked for.
func (r Retry) pause(try int, asked time.Duration) time.Duration {
	d := min(float64(r.First)*math.Pow(r.Factor, float64(try-1)), float64(r.Max))
	random := time.Duration(d * r.Jitter * rand.Float64())
	if asked > 0 {
		return asked + random
	}
	return time.Duration(d) - random
}

// passing reports whether another try may meet a destination that can answer. One that is
// exhausted without saying for how long is left alone. A time-out is repeated when it was
// the attempt's own: took is how long that ran.
func (c *Calls) passing(err error, took time.Duration) (asked time.Duration, ok bool) {
	e, known := errors.AsType[*contract.Error](err)
	if !known {
		return 0, errors.Is(err, context.DeadlineExceeded) && c.Timeout > 0 && took >= c.Timeout.Std()
	}
	switch e.Code { //nolint:exhaustive // the others are answers
	case contract.Unavailable:
		return e.RetryAfter, true
	case contract.Exhausted:
		return e.RetryAfter, e.RetryAfter > 0
	case contract.Deadline:
		return 0, c.Timeout > 0 && took >= c.Timeout.Std()
	}
	return 0, false
}

// local reports an attempt that this side has refused: repeating it burdens nobody.
func local(err error) bool { return errors.Is(err, ErrOpen) || errors.Is(err, ErrLimit) }

// budgetSeconds is how much of the reserve, and of what calls have earned, is kept.
const budgetSeconds = 10

const whole = 1000 // a repeat, in the unit of the balance

// budget is what repeats are paid from: each call earns a part of one, and a few per second
// are free. When everything fails, repeats add no more than that part to the load.
type budget struct {
	earn, most, reserve int64
	balance             atomic.Int64
	mu                  sync.Mutex
	paid                time.Time // until when the reserve was paid in
}

func newBudget(r Retry) *budget {
	b := &budget{earn: int64(r.Budget * whole), reserve: int64(r.Reserve), paid: time.Now()}
	b.most = max(b.reserve*budgetSeconds, 100) * whole
	b.balance.Store(b.reserve * budgetSeconds * whole)
	return b
}

// deposit is called for each call.
func (b *budget) deposit() {
	if b.balance.Load() < b.most {
		b.balance.Add(b.earn)
	}
}

// withdraw pays for a repeat.
func (b *budget) withdraw() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	b.balance.Add(int64(now.Sub(b.paid).Seconds() * float64(b.reserve*whole)))
	b.paid = now
	if over := b.balance.Load() - b.most; over > 0 {
		b.balance.Add(-over)
	}
	if b.balance.Load() < whole {
		return false
	}
	b.balance.Add(-whole)
	return true
}

// rest waits; false when ctx has ended first.
func rest(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
