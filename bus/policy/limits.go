package policy

import (
	"context"
	"errors"
	"time"

	"github.com/failsafe-go/failsafe-go/adaptivelimiter"
	"github.com/failsafe-go/failsafe-go/bulkhead"
	"github.com/failsafe-go/failsafe-go/ratelimiter"

	"github.com/ordermesh/ordermesh/bus/contract"
)

// ErrLimit says that as many calls of the destination run or begin as its policy allows. Nothing
// was sent.
var ErrLimit = contract.NewError(contract.Exhausted, "call_limit", "too many calls of the destination run already")

// limits bound attempts. Those that are off are nil.
type limits struct {
	rate     ratelimiter.RateLimiter[any]
	bulkhead bulkhead.Bulkhead[any]
	adaptive adaptivelimiter.AdaptiveLimiter[any]
	none     bool
}

// newLimits makes what the document asks for and keeps of old what is unchanged.
func newLimits(c Calls, was Calls, old limits) limits {
	l := limits{}
	switch {
	case c.Rate.Off:
	case old.rate != nil && c.Rate == was.Rate:
		l.rate = old.rate
	default:
		l.rate = ratelimiter.NewSmooth[any](uint(c.Rate.Calls), c.Rate.Per.Std())
	}
	switch {
	case c.Bulkhead.Off:
	case old.bulkhead != nil && c.Bulkhead.Concurrent == was.Bulkhead.Concurrent:
		l.bulkhead = old.bulkhead
	default:
		l.bulkhead = bulkhead.New[any](uint(c.Bulkhead.Concurrent))
	}
	switch a := c.Adaptive; {
	case a.Off:
	case old.adaptive != nil && a == was.Adaptive:
		l.adaptive = old.adaptive
	default:
		l.adaptive = adaptivelimiter.NewBuilder[any]().WithLimits(uint(a.Least), uint(a.Most), uint(a.Initial)).Build()
	}
	l.none = l.rate == nil && l.bulkhead == nil && l.adaptive == nil
	return l
}

// enter waits for the attempt's turn under all limits. leave must be called in the end.
func (l limits) enter(ctx context.Context, c *Calls) (leave leaving, err error) {
	if l.none {
		return leaving{}, nil
	}
	if l.rate != nil {
		if err := l.rate.AcquirePermitWithMaxWait(ctx, c.Rate.Wait.Std()); err != nil {
			return leaving{}, limited(err, c.Rate.Per.Std()/time.Duration(c.Rate.Calls))
		}
	}
	if l.bulkhead != nil {
		if err := l.bulkhead.AcquirePermitWithMaxWait(ctx, c.Bulkhead.Wait.Std()); err != nil {
			return leaving{}, limited(err, c.Bulkhead.Wait.Std())
		}
		leave.bulkhead = l.bulkhead
	}
	if l.adaptive != nil {
		p, err := l.adaptive.AcquirePermitWithMaxWait(ctx, c.Adaptive.Wait.Std())
		if err != nil {
			leave.after(unknown)
			return leaving{}, limited(err, c.Adaptive.Wait.Std())
		}
		leave.adaptive = p
	}
	return leave, nil
}

// leaving gives back what an attempt has taken.
type leaving struct {
	bulkhead bulkhead.Bulkhead[any]
	adaptive adaptivelimiter.Permit
}

// after gives it back; only an answer says how fast the destination is.
func (l leaving) after(o outcome) {
	if l.bulkhead != nil {
		l.bulkhead.ReleasePermit()
	}
	switch {
	case l.adaptive == nil:
	case o == unknown:
		l.adaptive.Drop()
	default:
		l.adaptive.Record()
	}
}

// limited is a limit's error as the caller sees it. The end of ctx is its own.
func limited(err error, wait time.Duration) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return ErrLimit.After(max(wait, probePause))
}
