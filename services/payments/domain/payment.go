// Package domain decides what may happen to a payment. It is pure: no clock, no
// random numbers, no input or output.
//
// Its commands note what the provider did; whether the provider may be asked at all
// is answered by [Payment.MayAuthorize] and its like, before the provider is asked.
package domain

import (
	"slices"

	"github.com/ordermesh/ordermesh/contracts/money"
	"github.com/ordermesh/ordermesh/contracts/payments"
)

// Schema is the number of Payment's layout as a snapshot.
const Schema = 2

// Payment is a payment; the zero value does not exist. Captured and Refunded are in
// Amount's currency, and 0 ≤ Refunded ≤ Captured ≤ Amount.
type Payment struct {
	Status   payments.Status `json:"s,omitzero"`
	ID       string          `json:"i,omitzero"`
	Amount   money.Amount    `json:"a,omitzero"`
	Captured int64           `json:"c,omitzero"`
	Refunded int64           `json:"r,omitzero"`
	Refunds  []Refunded      `json:"f,omitzero"`
	Reason   string          `json:"x,omitzero"`
}

// Refunded is a refund that was made.
type Refunded struct {
	ID    string `json:"i,omitzero"` // of the refund; none for a refund of everything
	Minor int64  `json:"m"`
}

// Left is what was captured and not given back.
func (p Payment) Left() int64 { return p.Captured - p.Refunded }

// refund finds a refund that was made.
func (p Payment) refund(id string) (Refunded, bool) {
	i := slices.IndexFunc(p.Refunds, func(r Refunded) bool { return r.ID == id })
	if i < 0 {
		return Refunded{}, false
	}
	return p.Refunds[i], true
}

// Evolve returns the payment after an event.
func Evolve(p Payment, e payments.Event) Payment {
	switch e := e.(type) {
	case payments.PaymentAuthorized:
		p.Status, p.ID, p.Amount = payments.Authorized, e.PaymentID, e.Amount
	case payments.PaymentDeclined:
		p.Status, p.ID, p.Reason = payments.Declined, e.PaymentID, e.Reason
	case payments.PaymentCaptured:
		p.Status, p.Captured = payments.Captured, p.Captured+e.Amount.Minor
	case payments.PaymentVoided:
		p.Status = payments.Voided
	case payments.PaymentRefunded:
		p.Refunds = append(slices.Clip(p.Refunds), Refunded{ID: e.RefundID, Minor: e.Amount.Minor})
		if p.Refunded += e.Amount.Minor; p.Left() == 0 {
			p.Status = payments.Refunded
		}
	}
	return p
}
