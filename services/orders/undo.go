package orders

import (
	"context"
	"errors"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/failpoint"
	"github.com/ordermesh/ordermesh/bus/flow"
	"github.com/ordermesh/ordermesh/contracts/orders"
	"github.com/ordermesh/ordermesh/services/orders/domain"
)

// giveUp cancels the order for the reason that the checkout cannot go on, unless it
// is cancelled already. The error makes the flow give everything back.
func (c *checkout) giveUp(run *flow.Run, orderID string, cause error) error {
	if errors.Is(cause, orders.ErrCancelled) || errors.Is(cause, flow.ErrCancelled) {
		return cause
	}
	err := effect(run, "cancel", orderID, func(ctx context.Context, key, orderID string) error {
		_, _, err := c.orders.Do(ctx, orderID, ownCommand(key), domain.Cancel{Reason: contract.AsError(cause).Reason})
		return err
	})
	if err != nil {
		return err
	}
	return cause
}

// ownPrefix marks the commands by which a checkout cancels its order: nobody has to wake
// it then. Commands of callers never begin like this.
const ownPrefix = "checkout "

func ownCommand(key string) string { return ownPrefix + key }

// reasonStopped is why an order is cancelled whose checkout a person has stopped.
const reasonStopped = "checkout_stopped"

// undo registers a compensation that never takes from an order that goes on: it first
// cancels the order, if it is not cancelled, and if that is refused because the order
// is dispatched, there is nothing to undo.
func (c *checkout) undo(run *flow.Run, name, orderID string, do func(ctx context.Context, key, orderID string) error) {
	key := run.Key(name)
	flow.Compensate(run, name, func(ctx context.Context) error {
		if dispatched, err := c.stopped(ctx, key, orderID); dispatched || err != nil {
			return err
		}
		err := do(ctx, key, orderID)
		failpoint.Hit("orders." + name + "_done")
		return err
	})
}

// goOn registers what becomes of a checkout that is stopped when the order may be
// dispatched: an order that was paid is shipped, whoever stops its checkout.
func (c *checkout) goOn(run *flow.Run, in checkoutInput) {
	key, shipKey := run.Key("go_on"), run.Key(stepShip)
	flow.Compensate(run, "go_on", func(ctx context.Context) error {
		if dispatched, err := c.stopped(ctx, key, in.OrderID); !dispatched || err != nil {
			return err
		}
		return c.handOver(ctx, shipKey, in)
	})
}

// stopped cancels an order whose checkout has ended early, unless it is dispatched.
func (c *checkout) stopped(ctx context.Context, key, orderID string) (dispatched bool, err error) {
	_, _, err = c.orders.Do(ctx, orderID, ownCommand(key), domain.Cancel{Reason: reasonStopped})
	if errors.Is(err, orders.ErrDispatched) {
		return true, nil
	}
	return false, err
}
