package domain

import (
	"time"

	"github.com/ordermesh/ordermesh/contracts/orders"
)

// Hold makes the order wait for a person.
type Hold struct {
	Reason string
	Until  time.Time
}

// Approve lets a held order go on.
type Approve struct{ Reason string }

// Reject cancels a held order.
type Reject struct{ Reason string }

// Expire cancels a held order about which nobody has decided.
type Expire struct{}

// hold holds an order once: one that was approved is not held again.
func (o Order) hold(c Hold) ([]orders.Event, error) {
	if o.Held != "" && o.Status != orders.Cancelled {
		return nil, nil
	}
	return o.step(orders.Placed, orders.OrderHeld(c))
}

// decide gives a verdict about a held order; the same verdict again is nothing to do.
func (o Order) decide(v Verdict, events ...orders.Event) ([]orders.Event, error) {
	switch {
	case o.Status == orders.OnHold:
		return events, nil
	case o.Held == v:
		return nil, nil
	}
	return nil, orders.ErrNotOnHold
}

func (o Order) expire() ([]orders.Event, error) {
	if o.Status == orders.OnHold {
		return []orders.Event{orders.OrderCancelled{Reason: orders.ReasonHoldExpired}}, nil
	}
	return nil, nil
}
