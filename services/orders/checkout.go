package orders

import (
	"context"
	"errors"

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
	if err := note(run, c.orders, "confirm", in.OrderID, domain.Confirm{PaymentID: paymentID}); err != nil {
		return err
	}
	if err := effect(run, "capture", in.OrderID, c.bank.capture); err != nil {
		return err
	}
	if err := effect(run, "commit", in.OrderID, c.shelf.commit); err != nil {
		return err
	}
	c.goOn(run, in)
	return note(run, c.orders, "dispatch", in.OrderID, domain.Dispatch{})
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
		err = c.bank.refund(ctx, key, payments.RefundPayment{OrderID: orderID})
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
	_, _, err = c.orders.Do(ctx, in.OrderID, key, domain.Ship{ShipmentID: shipment.ShipmentID, Due: shipment.Due})
	return insist(err)
}
