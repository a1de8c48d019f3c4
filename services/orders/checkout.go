package orders

import (
	"context"
	"errors"
	"strings"
	"time"

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
//	(on hold → approved) → reserve → authorize → confirmed → capture → commit stock → dispatched → create shipment, shipped
//
// An order over the limit waits for a person first, before anything is held for it. What
// goes wrong before "dispatched" cancels the order, for a reason that says what,
// and gives money and stock back; so does a customer who cancels meanwhile: the next
// command on the order is refused, and a checkout that waits is woken. From "dispatched" on the checkout only goes
// forward: what fails is tried until it works, also when a person stops the flow.
//
// Every step can be repeated: its effects are idempotent per order, and the far sides
// know an order's id. A crash between an effect and its record does no harm. From
// authorize to capture, and again from dispatched on, that holds also for steps that were
// followed by others, so these steps share a message of the journal: the payment is found
// as it is, and the order knows its commands. It does not hold for reserve, which would
// find the reservation closed by its own commit.
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

	// What the settings were when the order was placed; version 1 had none of it.
	Hold  *holdInput `json:"hold,omitzero"`   // a person must decide first
	PayMS int64      `json:"pay_ms,omitzero"` // how long the payment may take; 0: as long as it takes
}

// checkoutResult is how a checkout ends that does not fail.
type checkoutResult struct {
	Status orders.Status `json:"status"`
}

// checkoutVersion is what new checkouts begin with. Version 1 knew neither holds nor
// payment deadlines; what it has journaled is what this code does without them, so it
// runs on under this code.
const checkoutVersion = 2

func (c *checkout) definition(version int) flow.Definition[checkoutInput, checkoutResult] {
	return flow.Define(orders.CheckoutFlow, version, c.run)
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
	if err := c.clear(run, in); err != nil {
		return err
	}
	reservedAt, err := c.reserve(run, in)
	if err != nil {
		return err
	}
	paymentID, err := c.authorize(run, in, reservedAt)
	if err != nil {
		return err
	}
	if err := note(run, c.orders, "confirm", in.OrderID, domain.Confirm{PaymentID: paymentID}); err != nil {
		return err
	}
	if err := effect(run, "capture", in.OrderID, c.bank.capture, flow.WithCheap()); err != nil {
		return err
	}
	if err := effect(run, "commit", in.OrderID, c.shelf.commit); err != nil {
		return err
	}
	c.goOn(run, in)
	return note(run, c.orders, "dispatch", in.OrderID, domain.Dispatch{})
}

// reserve holds the order's lines and says when: the payment's time begins then.
func (c *checkout) reserve(run *flow.Run, in checkoutInput) (time.Time, error) {
	c.undo(run, "release", in.OrderID, c.shelf.release)
	key := run.Key("reserve")
	done, err := flow.Step(run, "reserve", func(ctx context.Context) (reserved, error) {
		status, err := c.shelf.reserve(ctx, key, inventory.ReserveLines{OrderID: in.OrderID, Lines: in.Lines})
		failpoint.Hit("orders.reserve_done")
		return reserved{Status: status, At: time.Now().UTC()}, err
	})
	switch {
	case err != nil:
		return done.At, err
	case done.Status == inventory.Refused:
		return done.At, orders.ErrOutOfStock
	case done.Status != inventory.Held:
		return done.At, inventory.ErrClosed
	}
	return done.At, nil
}

// reserved is the result of the step reserve. It is journaled as text, "held" and the
// time; version 1 journaled the status alone.
type reserved struct {
	Status inventory.Status
	At     time.Time
}

// MarshalText writes status and time.
func (r reserved) MarshalText() ([]byte, error) {
	return r.At.AppendFormat([]byte(string(r.Status)+" "), time.RFC3339Nano), nil
}

// UnmarshalText reads it, also without the time.
func (r *reserved) UnmarshalText(text []byte) (err error) {
	status, at, timed := strings.Cut(string(text), " ")
	if r.Status = inventory.Status(status); timed {
		r.At, err = time.Parse(time.RFC3339Nano, at)
	}
	return err
}

// authorized is the result of the step authorize.
type authorized struct {
	PaymentID string          `json:"payment_id,omitzero"`
	Status    payments.Status `json:"status"`
}

func (c *checkout) authorize(run *flow.Run, in checkoutInput, since time.Time) (paymentID string, err error) {
	c.undo(run, "pay_back", in.OrderID, c.payBack)
	key := run.Key("authorize")
	payment, err := flow.Step(run, "authorize", func(ctx context.Context) (authorized, error) {
		p, err := c.bank.authorize(ctx, key, payments.AuthorizePayment{OrderID: in.OrderID, Amount: in.Total, Reference: in.Reference})
		failpoint.Hit("orders.authorize_done")
		if err != nil && !contract.IsRefusal(err) && in.tooLate(since) {
			err = orders.ErrPaymentTimeout
		}
		return authorized{PaymentID: p.PaymentID, Status: p.Status}, err
	}, flow.WithCheap())
	if err == nil && payment.Status == payments.Declined {
		err = orders.ErrDeclined
	}
	return payment.PaymentID, err
}

// tooLate reports whether a payment that has not succeeded is not tried again.
func (in checkoutInput) tooLate(since time.Time) bool {
	return in.PayMS > 0 && time.Since(since) >= time.Duration(in.PayMS)*time.Millisecond
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
