package domain

import (
	"github.com/ordermesh/ordermesh/contracts/money"
	"github.com/ordermesh/ordermesh/contracts/payments"
)

// MayRefund reports whether the provider is to be asked to give an amount back under a
// refund's id; without an amount it is all that is left. False without an error means
// that it was given back.
func (p Payment) MayRefund(id string, amount money.Amount) (bool, error) {
	switch p.Status {
	case payments.Captured, payments.Refunded:
	case payments.Authorized, payments.Voided, payments.Declined:
		return false, payments.ErrNotCaptured
	default:
		return false, payments.ErrUnknown
	}
	made, again := p.refund(id)
	switch {
	case again && !amount.IsZero() && amount != money.New(made.Minor, p.Amount.Currency):
		return false, payments.ErrRefund
	case again:
		return false, nil
	case amount.IsZero():
		return p.Status == payments.Captured, nil
	case amount.Currency != p.Amount.Currency:
		return false, payments.ErrTooMuch.At("/amount/currency").Sayf("the payment is in %s", p.Amount.Currency)
	case amount.Minor <= 0 || amount.Minor > p.Left():
		return false, payments.ErrTooMuch.At("/amount/amount")
	}
	return true, nil
}

// giveBack notes a refund. Nothing is given back only of a payment of nothing.
func (p Payment) giveBack(c Refund) ([]payments.Event, error) {
	amount := money.New(c.Minor, p.Amount.Currency)
	asked := amount
	if p.Captured == 0 && c.Minor == 0 {
		asked = money.Amount{}
	}
	ask, err := p.MayRefund(c.ID, asked)
	return event(ask, err, payments.PaymentRefunded{RefundID: c.ID, Amount: amount})
}
