package rpc

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/telemetry"
)

type retryPolicy struct {
	attempts    int
	base, limit time.Duration
}

// pause is how long to wait after the given attempt: exponential up to the limit,
// less a random half so that callers do not come back together, and never less than
// the service asked for.
func (p retryPolicy) pause(attempt int, asked time.Duration) time.Duration {
	d := p.limit
	if shift := attempt - 1; shift < 20 && p.base<<shift < p.limit {
		d = p.base << shift
	}
	random := rand.N(d/2 + 1)
	if asked > 0 {
		return asked + random
	}
	return d - random
}

// retry repeats a call that may be repeated while the service is missing, cannot
// answer or is overloaded, as long as the deadline allows another try after the
// pause.
func retry(p retryPolicy, log *slog.Logger, next sender) sender {
	return func(ctx context.Context, r *request) (*nats.Msg, error) {
		for r.attempt = 1; ; r.attempt++ {
			m, err := next(ctx, r)
			if err == nil {
				return m, nil
			}
			var e *contract.Error
			if !r.repeatable || r.attempt >= p.attempts || !errors.As(err, &e) || !passing(e) {
				return nil, err
			}
			pause := p.pause(r.attempt, e.RetryAfter)
			if time.Until(r.deadline) <= pause {
				return nil, err
			}
			if log.Enabled(ctx, slog.LevelDebug) {
				log.LogAttrs(ctx, slog.LevelDebug, "calling again", slog.String(telemetry.KeyMethod, r.target.name),
					slog.Int(telemetry.KeyAttempt, r.attempt), slog.Duration(telemetry.KeyDelay, pause), slog.String(telemetry.KeyError, err.Error()))
			}
			if !sleep(ctx, pause) {
				return nil, context.Cause(ctx)
			}
		}
	}
}

// passing reports whether another try may meet a service that can answer. A service
// that is exhausted without saying for how long is left alone.
func passing(e *contract.Error) bool {
	return e.Code == contract.Unavailable || e.Code == contract.Exhausted && e.RetryAfter > 0
}

func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
