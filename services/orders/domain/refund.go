package domain

import (
	"github.com/ordermesh/ordermesh/contracts/money"
	"github.com/ordermesh/ordermesh/contracts/orders"
)

// Refund asks to give back an amount, or without one all that is left.
type Refund struct {
	ID     string
	Amount money.Amount
	Reason string
}

// NoteRefund notes that the money of a refund was given back.
type NoteRefund struct{ ID string }

// FailRefund notes that a refund was refused.
type FailRefund struct {
	ID     string
	Reason string
}

// refund promises money: it is not promised again, whenever it is given back.
func (o Order) refund(c Refund) ([]orders.Event, error) {
	left := o.Left()
	switch {
	case o.Status != orders.Delivered:
		return nil, orders.ErrUndelivered
	case o.pending(c.ID) >= 0:
		return nil, nil
	case !c.Amount.IsZero() && c.Amount.Currency != o.Total.Currency:
		return nil, orders.ErrOtherCurrency.At("/amount/currency").Sayf("the order was paid in %s", o.Total.Currency)
	case left <= 0:
		return nil, orders.ErrRefunded
	case o.Refunds >= orders.MaxRefunds:
		return nil, orders.ErrTooManyRefunds.Sayf("the order has %d refunds, as many as an order can have", o.Refunds)
	case c.Amount.IsZero():
		c.Amount = money.New(left, o.Total.Currency)
	case c.Amount.Minor <= 0:
		return nil, orders.ErrNoAmount.At("/amount/amount")
	case c.Amount.Minor > left:
		return nil, orders.ErrTooMuch.At("/amount/amount").Sayf("%s is more than the %s that are left", c.Amount, money.New(left, o.Total.Currency))
	}
	return []orders.Event{orders.OrderRefundRequested{RefundID: c.ID, Amount: c.Amount, Reason: c.Reason}}, nil
}

// noteRefund has nothing to do for a refund that has ended.
func (o Order) noteRefund(c NoteRefund) ([]orders.Event, error) {
	i := o.pending(c.ID)
	if i < 0 {
		return nil, nil
	}
	amount := money.New(o.Pending[i].Minor, o.Total.Currency)
	return []orders.Event{orders.OrderRefunded{
		RefundID: c.ID, Amount: amount, Refunded: money.New(o.Refunded+amount.Minor, o.Total.Currency),
	}}, nil
}

func (o Order) failRefund(c FailRefund) ([]orders.Event, error) {
	if o.pending(c.ID) < 0 {
		return nil, nil
	}
	return []orders.Event{orders.OrderRefundFailed{RefundID: c.ID, Reason: c.Reason}}, nil
}
