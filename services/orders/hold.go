package orders

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/ordermesh/ordermesh/bus/flow"
	"github.com/ordermesh/ordermesh/contracts/orders"
	"github.com/ordermesh/ordermesh/services/orders/domain"
)

// holdInput says that a person must decide about an order, why, and how long there is
// for it.
type holdInput struct {
	Reason string `json:"reason"`
	ForMS  int64  `json:"for_ms"`
}

// decisionSignal wakes a checkout that waits for a person. It says nothing: what was
// decided is what the order says.
const decisionSignal = "decision"

// clear holds an order about which a person must decide, and waits until it was approved;
// an order that is cancelled, by whomever, ends the checkout.
func (c *checkout) clear(run *flow.Run, in checkoutInput) error {
	if in.Hold == nil {
		return nil
	}
	c.undo(run, "let_go", in.OrderID, func(context.Context, string, string) error { return nil })
	until, err := c.hold(run, in)
	if err != nil {
		return err
	}
	left := time.Duration(in.Hold.ForMS) * time.Millisecond
	for n := 1; ; n++ {
		_, err := flow.Await[none](run, decisionSignal, left)
		if err != nil && !errors.Is(err, flow.ErrTimedOut) {
			return err
		}
		now, err := c.look(run, n, in.OrderID, until)
		switch {
		case err != nil:
			return err
		case now.Status == orders.Cancelled:
			return orders.ErrCancelled
		case now.Status != orders.OnHold:
			return nil
		}
		left = time.Duration(now.LeftMS) * time.Millisecond
	}
}

// hold puts the order on hold and returns until when.
func (c *checkout) hold(run *flow.Run, in checkoutInput) (time.Time, error) {
	key := run.Key("hold")
	return flow.Step(run, "hold", func(ctx context.Context) (time.Time, error) {
		until := time.Now().UTC().Add(time.Duration(in.Hold.ForMS) * time.Millisecond)
		_, _, err := c.orders.Do(ctx, in.OrderID, key, domain.Hold{Reason: in.Hold.Reason, Until: until})
		return until, err
	})
}

// heldOrder is what a look at a held order says.
type heldOrder struct {
	Status orders.Status `json:"status"`
	LeftMS int64         `json:"left_ms,omitzero"` // until the hold is over
}

// look says what the order says; when its time is over it is cancelled first, unless
// somebody has decided.
func (c *checkout) look(run *flow.Run, n int, orderID string, until time.Time) (heldOrder, error) {
	step := "look_" + strconv.Itoa(n)
	key := ownCommand(run.Key(step))
	return flow.Step(run, step, func(ctx context.Context) (heldOrder, error) {
		left := time.Until(until).Milliseconds()
		if left <= 0 {
			o, _, err := c.orders.Do(ctx, orderID, key, domain.Expire{})
			return heldOrder{Status: o.Status}, err
		}
		o, _, err := c.orders.Get(ctx, orderID)
		return heldOrder{Status: o.Status, LeftMS: left}, err
	})
}
