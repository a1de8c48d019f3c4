package domain

import (
	"strconv"
	"time"

	"github.com/ordermesh/ordermesh/contracts/money"
	"github.com/ordermesh/ordermesh/contracts/orders"
	"github.com/ordermesh/ordermesh/contracts/postal"
)

// Command is a command on an order.
//
//sumtype:decl
type Command interface{ orderCommand() }

// Place places the order. Lines carry the catalog's names and prices, Reference is
// the sealed payment token, Hash recognises a retry of the same request. An order that
// the rules reject is stored, too, and cancelled at once: what was decided must be seen.
type Place struct {
	CustomerID string
	Lines      []orders.Line
	Reference  string
	ShipTo     postal.Address
	Hash       string
	At         time.Time
	Acceptance *orders.Acceptance // what the rules say, nil without rules
}

// Confirm notes that stock is held and money reserved.
type Confirm struct{ PaymentID string }

// Dispatch notes that the order is paid and its stock sold: the point of no return.
type Dispatch struct{}

// Ship notes that the carrier has the parcel.
type Ship struct {
	ShipmentID string
	Due        time.Time // when the carrier means to deliver
}

// Deliver notes that the carrier has delivered the parcel. It may overtake Ship.
type Deliver struct{ ShipmentID string }

// Cancel ends the order. Before Dispatch it always wins, unless its caller wants it only
// for the order as it was seen.
type Cancel struct {
	Reason string
	Only   *Seen
}

// Seen is what a caller has seen of an order that can be cancelled: each event of such an
// order changes it. The zero value is of no order.
type Seen struct {
	Status orders.Status
	Held   Verdict
}

func (Place) orderCommand()      {}
func (Hold) orderCommand()       {}
func (Approve) orderCommand()    {}
func (Reject) orderCommand()     {}
func (Expire) orderCommand()     {}
func (Confirm) orderCommand()    {}
func (Dispatch) orderCommand()   {}
func (Ship) orderCommand()       {}
func (Deliver) orderCommand()    {}
func (Cancel) orderCommand()     {}
func (Refund) orderCommand()     {}
func (NoteRefund) orderCommand() {}
func (FailRefund) orderCommand() {}

// Decide returns the events of a command, nothing if there is nothing to do, or the
// reason why not.
func Decide(o Order, c Command) ([]orders.Event, error) {
	if place, ok := c.(Place); ok {
		return o.place(place)
	}
	if o.Status == "" {
		return nil, orders.ErrUnknown
	}
	switch c := c.(type) {
	case Place:
		return nil, orders.ErrPlaced
	case Confirm:
		return o.step(orders.Placed, orders.OrderConfirmed(c))
	case Dispatch:
		return o.step(orders.Confirmed, orders.OrderDispatched(c))
	case Ship:
		return o.step(orders.Dispatched, orders.OrderShipped(c))
	case Deliver:
		return o.deliver(c)
	case Cancel:
		return o.cancel(c)
	case Hold:
		return o.hold(c)
	case Approve:
		return o.decide(Approved, orders.OrderApproved(c))
	case Reject:
		return o.decide(Rejected, orders.OrderRejected(c), orders.OrderCancelled{Reason: orders.ReasonRejected})
	case Expire:
		return o.expire()
	case Refund:
		return o.refund(c)
	case NoteRefund:
		return o.noteRefund(c)
	case FailRefund:
		return o.failRefund(c)
	}
	return nil, nil
}

func (o Order) place(c Place) ([]orders.Event, error) {
	if o.Status != "" {
		return nil, orders.ErrPlaced
	}
	placed, err := c.Placed()
	switch {
	case err != nil:
		return nil, err
	case c.Acceptance != nil && c.Acceptance.Outcome == orders.OutcomeReject:
		return []orders.Event{placed, orders.OrderCancelled{Reason: c.Acceptance.Reason}}, nil
	}
	return []orders.Event{placed}, nil
}

// Placed is the event of the command, or why there is none.
func (c Place) Placed() (orders.OrderPlaced, error) {
	total, err := sum(c.Lines)
	return orders.OrderPlaced{
		CustomerID: c.CustomerID, Lines: c.Lines, Total: total, PaymentReference: c.Reference,
		ShipTo: c.ShipTo, RequestHash: c.Hash, PlacedAt: c.At, Acceptance: c.Acceptance,
	}, err
}

// sum adds up the lines: one currency, no overflow.
func sum(lines []orders.Line) (money.Amount, error) {
	var total money.Amount
	for i, l := range lines {
		price, err := l.UnitPrice.Times(l.Quantity)
		if err != nil {
			return money.Amount{}, money.ErrOverflow.At("/lines/" + strconv.Itoa(i))
		}
		if l.UnitPrice.Currency != lines[0].UnitPrice.Currency {
			return money.Amount{}, money.ErrMixed.At("/lines/" + strconv.Itoa(i))
		}
		if total, err = total.Add(price); err != nil {
			return money.Amount{}, money.ErrOverflow.At("/lines/" + strconv.Itoa(i))
		}
	}
	return total, nil
}

// rank orders the states on the straight way from placed to delivered.
func rank(s orders.Status) int {
	switch s {
	case orders.Placed, orders.OnHold:
		return 1
	case orders.Confirmed:
		return 2
	case orders.Dispatched:
		return 3
	case orders.Shipped:
		return 4
	case orders.Delivered:
		return 5
	case orders.Cancelled:
		return 0
	}
	return 0
}

// step takes the order from one state to the next; an order that is past it has
// nothing to do.
func (o Order) step(from orders.Status, e orders.Event) ([]orders.Event, error) {
	switch {
	case o.Status == orders.Cancelled:
		return nil, orders.ErrCancelled
	case o.Status == from:
		return []orders.Event{e}, nil
	case rank(o.Status) > rank(from):
		return nil, nil
	}
	return nil, orders.ErrOutOfTurn
}

func (o Order) deliver(c Deliver) ([]orders.Event, error) {
	switch o.Status {
	case orders.Dispatched:
		return []orders.Event{orders.OrderShipped{ShipmentID: c.ShipmentID}, orders.OrderDelivered{}}, nil
	case orders.Placed, orders.OnHold, orders.Confirmed, orders.Shipped, orders.Delivered, orders.Cancelled:
	}
	return o.step(orders.Shipped, orders.OrderDelivered{})
}

func (o Order) cancel(c Cancel) ([]orders.Event, error) {
	if c.Only != nil && *c.Only != (Seen{o.Status, o.Held}) {
		return nil, orders.ErrChanged
	}
	switch o.Status {
	case orders.Placed, orders.OnHold, orders.Confirmed:
		return []orders.Event{orders.OrderCancelled{Reason: c.Reason}}, nil
	case orders.Cancelled:
		return nil, nil
	case orders.Dispatched, orders.Shipped, orders.Delivered:
		return nil, orders.ErrDispatched
	}
	return nil, orders.ErrDispatched
}
