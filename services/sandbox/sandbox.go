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
// be slow, and the provider can fail or charge and never answer; see the tokens in
// contracts/sandbox.
package sandbox

import (
	"context"
	"time"

	"github.com/ordermesh/ordermesh/bus/contract"
)

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
