// Package sandbox plays the two outside firms that the mesh talks to: a payment
// provider and a carrier. Both answer over the wire under their own names and keep
// their own books: plain records in key-value buckets, each created once under its key
// and never changed.
//
// It is for development, tests and benchmarks, never for production. It shares no code
// with the mesh's event store on purpose: a judge compares its books with the mesh's
// streams.
//
// It promises what the real firms promise. The provider: one charge per merchant's key
// however often it is asked, settled once, by capture or void, and never
// refunded by more than was captured; a query tells what became of a key. The carrier: one parcel per order, delivered when it is due unless
// it was cancelled before, and reported at least once, also after a restart. Both can
// be slow, fail or never answer, as their settings say, and the provider can fail, or charge
// and never answer, by the token; see contracts/sandbox.
package sandbox

import (
	"context"
	"time"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/contracts/sandbox"
)

var errTrouble = contract.ErrUnavailable.Sayf("the firm has trouble; try again")

// mood is how a firm behaves now.
type mood struct {
	latency time.Duration
	trouble sandbox.Trouble
	end     <-chan struct{} // the process is asked to end
}

// behave lets a handler answer as its firm behaves.
func behave[Req, Resp any](now func() mood, h func(context.Context, Req) (Resp, error)) func(context.Context, Req) (Resp, error) {
	return func(ctx context.Context, req Req) (Resp, error) {
		var none Resp
		m := now()
		switch m.trouble {
		case sandbox.TroubleError:
			return none, errTrouble
		case sandbox.TroubleHang:
			return none, hang(ctx, m.end)
		case sandbox.NoTrouble:
		}
		if err := pause(ctx, m.latency); err != nil {
			return none, err
		}
		return h(ctx, req)
	}
}

// hang never answers: it outlasts the caller.
func hang(ctx context.Context, end <-chan struct{}) error {
	select {
	case <-ctx.Done():
	case <-end:
	}
	return contract.ErrDeadline
}

// pause is how slow a firm is; the end of ctx ends it.
func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return contract.AsError(ctx.Err())
	}
}
