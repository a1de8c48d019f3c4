package limit

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/ordermesh/ordermesh/bus/contract"
)

// pause is how long a shared limiter that failed is left alone.
const pause = time.Second

// Fallback asks a limiter that processes share and, while that fails, one of this
// process: each process then allows the whole rate by itself, which is too much and
// better than all or nothing.
func Fallback(shared, own Limiter) Limiter {
	return &fallback{shared: shared, own: own, begin: time.Now()}
}

type fallback struct {
	shared, own Limiter
	begin       time.Time
	until       atomic.Int64 // since begin: the shared one is left alone
}

// Take implements Limiter. An attempt on a shared limiter that failed before is made by
// one caller at a time.
func (f *fallback) Take(ctx context.Context, key string, r Rate, n int) (Verdict, error) {
	now, until := int64(time.Since(f.begin)), f.until.Load()
	if now < until || until > 0 && !f.until.CompareAndSwap(until, now+int64(pause)) {
		return f.own.Take(ctx, key, r, n)
	}
	v, err := f.shared.Take(ctx, key, r, n)
	switch {
	case err == nil:
		if until > 0 {
			f.until.Store(0)
		}
		return v, nil
	case contract.IsRefusal(err) || ctx.Err() != nil:
		return v, err
	}
	f.until.Store(int64(time.Since(f.begin) + pause))
	return f.own.Take(ctx, key, r, n)
}
