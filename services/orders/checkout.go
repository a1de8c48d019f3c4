package orders

import (
	"context"
	"errors"
	"fmt"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/failpoint"
	"github.com/ordermesh/ordermesh/bus/flow"
	"github.com/ordermesh/ordermesh/contracts/inventory"
	"github.com/ordermesh/ordermesh/contracts/line"
	"github.com/ordermesh/ordermesh/contracts/money"
	"github.com/ordermesh/ordermesh/contracts/orders"
	"github.com/ordermesh/ordermesh/contracts/payments"
	"github.com/ordermesh/ordermesh/contracts/postal"
	"github.com/ordermesh/ordermesh/contracts/shipping"
	"github.com/ordermesh/ordermesh/services/orders/domain"
)

// checkout takes a placed order to the carrier:
//
//	reserve → authorize → confirmed → capture → commit stock → dispatched → create shipment, shipped
//
// What goes wrong before "dispatched" cancels the order, for a reason that says what,
// and gives money and stock back; so does a customer who cancels meanwhile: the next
// command on the order is refused. From "dispatched" on the checkout only goes
// forward: what fails is tried until it works, also when a person stops the flow.
//
// Every step can be repeated: its effects are idempotent per order, and the far sides
// know an order's id. A crash between an effect and its record does no harm.
type checkout struct {
	orders *entity
	shelf  shelf
	bank   bank
	post   post
}

// checkoutInput is what a checkout needs of its order.
type checkoutInput struct {
	OrderID   string         `json:"order_id"`
	Lines     []line.Line    `json:"lines"`
	Total     money.Amount   `json:"total"`
	Reference string         `json:"reference"`
	ShipTo    postal.Address `json:"ship_to"`
}

// checkoutResult is how a checkout ends that does not fail.
type checkoutResult struct {
	Status orders.Status `json:"status"`
}

func (c *checkout) definition() flow.Definition[checkoutInput, checkoutResult] {
	return flow.Define(orders.CheckoutFlow, 1, c.run)
}

func (c *checkout) run(run *flow.Run, in checkoutInput) (checkoutResult, error) {
	if err := c.sell(run, in); err != nil {
		return checkoutResult{}, c.giveUp(run, in.OrderID, err)
	}
	if err := c.ship(run, in); err != nil {
		return checkoutResult{}, err
	}
	return checkoutResult{Status: orders.Shipped}, nil
}

// sell takes the order to "dispatched".
func (c *checkout) sell(run *flow.Run, in checkoutInput) error {
	if err := c.reserve(run, in); err != nil {
		return err
	}
	paymentID, err := c.authorize(run, in)
	if err != nil {
		return err
	}
	if err := c.note(run, "confirm", in.OrderID, domain.Confirm{PaymentID: paymentID}); err != nil {
		return err
	}
	if err := effect(run, "capture", in.OrderID, c.bank.capture); err != nil {
		return err
	}
	if err := effect(run, "commit", in.OrderID, c.shelf.commit); err != nil {
		return err
	}
	c.goOn(run, in)
	return c.note(run, "dispatch", in.OrderID, domain.Dispatch{})
}

func (c *checkout) reserve(run *flow.Run, in checkoutInput) error {
	c.undo(run, "release", in.OrderID, c.shelf.release)
	key := run.Key("reserve")
	status, err := flow.Step(run, "reserve", func(ctx context.Context) (inventory.Status, error) {
		status, err := c.shelf.reserve(ctx, key, inventory.ReserveLines{OrderID: in.OrderID, Lines: in.Lines})
		failpoint.Hit("orders.reserve_done")
		return status, err
	})
	switch {
	case err != nil:
		return err
	case status == inventory.Refused:
		return orders.ErrOutOfStock
	case status != inventory.Held:
		return inventory.ErrClosed
	}
	return nil
}

// authorized is the result of the step authorize.
type authorized struct {
	PaymentID string          `json:"payment_id,omitzero"`
	Status    payments.Status `json:"status"`
}

func (c *checkout) authorize(run *flow.Run, in checkoutInput) (paymentID string, err error) {
	c.undo(run, "pay_back", in.OrderID, c.payBack)
	key := run.Key("authorize")
	payment, err := flow.Step(run, "authorize", func(ctx context.Context) (authorized, error) {
		p, err := c.bank.authorize(ctx, key, payments.AuthorizePayment{OrderID: in.OrderID, Amount: in.Total, Reference: in.Reference})
		failpoint.Hit("orders.authorize_done")
		return authorized{PaymentID: p.PaymentID, Status: p.Status}, err
	})
	if err == nil && payment.Status == payments.Declined {
		err = orders.ErrDeclined
	}
	return payment.PaymentID, err
}

// payBack gives reserved money back, or refunds it if it was taken.
func (c *checkout) payBack(ctx context.Context, key, orderID string) error {
	err := c.bank.void(ctx, key, orderID)
	if errors.Is(err, payments.ErrCaptured) {
		err = c.bank.refund(ctx, key, orderID)
	}
	return err
}

// ship hands the order to the carrier. There is no way back any more, so not even a
// refusal ends it.
func (c *checkout) ship(run *flow.Run, in checkoutInput) error {
	return effect(run, stepShip, in.OrderID, func(ctx context.Context, key, _ string) error { return c.handOver(ctx, key, in) })
}

const stepShip = "ship"

func (c *checkout) handOver(ctx context.Context, key string, in checkoutInput) error {
	shipment, err := c.post.create(ctx, key, shipping.CreateShipment{OrderID: in.OrderID, ShipTo: in.ShipTo, Lines: in.Lines})
	if err != nil {
		return insist(err)
	}
	failpoint.Hit("orders.shipment_created")
	_, _, err = c.orders.Do(ctx, in.OrderID, key, domain.Ship{ShipmentID: shipment.ShipmentID})
	return insist(err)
}

// insist makes a refusal an error that is tried again.
func insist(err error) error {
	if contract.IsRefusal(err) {
		return fmt.Errorf("after the point of no return: %s", err.Error())
	}
	return err
}

// none is the result of a step that only has an effect.
type none struct{}

// effect runs a step that only has an effect, under the step's own key.
func effect(run *flow.Run, step, orderID string, do func(ctx context.Context, key, orderID string) error) error {
	key := run.Key(step)
	_, err := flow.Step(run, step, func(ctx context.Context) (none, error) {
		err := do(ctx, key, orderID)
		failpoint.Hit("orders." + step + "_done")
		return none{}, err
	})
	return err
}

// note runs one of the order's own commands as a step.
func (c *checkout) note(run *flow.Run, step, orderID string, command domain.Command) error {
	return effect(run, step, orderID, func(ctx context.Context, key, orderID string) error {
		_, _, err := c.orders.Do(ctx, orderID, key, command)
		return err
	})
}

// giveUp cancels the order for the reason that the checkout cannot go on, unless it
// is cancelled already. The error makes the flow give everything back.
func (c *checkout) giveUp(run *flow.Run, orderID string, cause error) error {
	if errors.Is(cause, orders.ErrCancelled) || errors.Is(cause, flow.ErrCancelled) {
		return cause
	}
	if err := c.note(run, "cancel", orderID, domain.Cancel{Reason: contract.AsError(cause).Reason}); err != nil {
		return err
	}
	return cause
}

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
	_, _, err = c.orders.Do(ctx, orderID, key, domain.Cancel{Reason: reasonStopped})
	if errors.Is(err, orders.ErrDispatched) {
		return true, nil
	}
	return false, err
}
