package cache

import (
	"context"
	"fmt"
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"

	"github.com/ordermesh/ordermesh/bus/contract"
)

// Guard runs calls under a policy: a circuit breaker, a time-out, a limit.
type Guard interface {
	// Do runs call, or refuses to. An error of call counts as a failure.
	Do(ctx context.Context, call func(context.Context) error) error
}

// closable is a guard that can tell whether it lets calls through without a trial. A
// reader does not try out a remote level that was broken: a write does, for which
// nobody waits.
type closable interface{ IsClosed() bool }

// breaker is the guard of those who bring none.
type breaker struct {
	circuitbreaker.CircuitBreaker[any]
}

const (
	breakerFailures  = 5
	breakerSuccesses = 2
	breakerDelay     = 10 * time.Second
)

// NewBreaker is a guard that refuses calls for a while after some failures in a row, and
// again unless the first calls after it succeed.
func NewBreaker(failures, successes int, delay time.Duration) Guard {
	return &breaker{circuitbreaker.NewBuilder[any]().WithFailureThreshold(uint(max(failures, 1))).WithSuccessThreshold(uint(max(successes, 1))).
		WithDelay(delay).WithJitterFactor(0.25).Build()}
}

// Do implements Guard.
func (b *breaker) Do(ctx context.Context, call func(context.Context) error) error {
	if !b.TryAcquirePermit() {
		return fmt.Errorf("%w: %w", contract.ErrUnavailable, circuitbreaker.ErrOpen)
	}
	err := call(ctx)
	if err != nil {
		b.RecordFailure()
	} else {
		b.RecordSuccess()
	}
	return err
}
