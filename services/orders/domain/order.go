// Package domain decides what may happen to an order. It is pure: no clock, no
// random numbers, no input or output.
package domain

import (
	"slices"

	"github.com/ordermesh/ordermesh/contracts/money"
	"github.com/ordermesh/ordermesh/contracts/orders"
)

// Schema is the number of Order's layout as a snapshot.
const Schema = 2

// Order is what decisions need of an order, and no more: it rides along in every
// commit. The zero value does not exist. What people see of an order is folded from
// its history.
type Order struct {
	Status      orders.Status `json:"s,omitzero"`
	CustomerID  string        `json:"c,omitzero"`
	RequestHash string        `json:"h,omitzero"`

	Total money.Amount `json:"t,omitzero"`
	Held  Verdict      `json:"o,omitzero"`

	Refunded int64   `json:"r,omitzero"` // given back, in Total's currency
	Refunds  int     `json:"n,omitzero"` // asked for so far
	Pending  []Claim `json:"p,omitzero"` // asked for and not given back yet
}

// Verdict is whether an order was ever held and what was decided. Before it is held
// there is none.
type Verdict string

// The verdicts.
const (
	Undecided Verdict = "u"
	Approved  Verdict = "a"
	Rejected  Verdict = "r"
)

// Claim is a refund that was asked for and is not given back yet.
type Claim struct {
	ID    string `json:"i"`
	Minor int64  `json:"m"`
}

// Left is what can still be given back of the total.
func (o Order) Left() int64 {
	left := o.Total.Minor - o.Refunded
	for _, r := range o.Pending {
		left -= r.Minor
	}
	return left
}

// pending finds a refund that was asked for and not given back yet.
func (o Order) pending(id string) int {
	return slices.IndexFunc(o.Pending, func(r Claim) bool { return r.ID == id })
}

// without returns the pending refunds but one.
func (o Order) without(id string) []Claim {
	i := o.pending(id)
	if i < 0 {
		return o.Pending
	}
	return slices.Concat(o.Pending[:i], o.Pending[i+1:])
}

// Evolve returns the order after an event.
func Evolve(o Order, e orders.Event) Order {
	switch e := e.(type) {
	case orders.OrderPlaced:
		return Order{Status: orders.Placed, CustomerID: e.CustomerID, RequestHash: e.RequestHash, Total: e.Total}
	case orders.OrderHeld:
		o.Status, o.Held = orders.OnHold, Undecided
	case orders.OrderApproved:
		o.Status, o.Held = orders.Placed, Approved
	case orders.OrderRejected:
		o.Held = Rejected
	case orders.OrderConfirmed:
		o.Status = orders.Confirmed
	case orders.OrderDispatched:
		o.Status = orders.Dispatched
	case orders.OrderShipped:
		o.Status = orders.Shipped
	case orders.OrderDelivered:
		o.Status = orders.Delivered
	case orders.OrderCancelled:
		o.Status = orders.Cancelled
	case orders.OrderRefundRequested:
		o.Refunds++
		o.Pending = append(slices.Clip(o.Pending), Claim{ID: e.RefundID, Minor: e.Amount.Minor})
	case orders.OrderRefunded:
		o.Pending = o.without(e.RefundID)
		o.Refunded += e.Amount.Minor
	case orders.OrderRefundFailed:
		o.Pending = o.without(e.RefundID)
	}
	return o
}
