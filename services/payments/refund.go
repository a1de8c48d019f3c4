package payments

import (
	"context"
	"errors"

	"github.com/ordermesh/ordermesh/bus/failpoint"
	"github.com/ordermesh/ordermesh/contracts/money"
	"github.com/ordermesh/ordermesh/contracts/payments"
	"github.com/ordermesh/ordermesh/contracts/sandbox"
	"github.com/ordermesh/ordermesh/services/payments/domain"
)

// refund asks the provider under a key that follows from the order and the refund's id:
// a refund is made once, whatever is repeated.
func (d *desk) refund(ctx context.Context, r payments.RefundPayment) (payments.Payment, error) {
	var amount money.Amount
	if r.Amount != nil {
		amount = r.Amount.Amount()
	}
	p, version, ask, err := d.look(ctx, r.OrderID, func(p domain.Payment) (bool, error) { return p.MayRefund(r.RefundID, amount) })
	if err != nil || !ask {
		return viewOf(r.OrderID, p, version), err
	}
	key := refundKey(r.OrderID, r.RefundID)
	charge, err := d.ask(ctx, chargeKey(r.OrderID), func(ctx context.Context) (sandbox.Charge, error) {
		return d.provider.Refund(ctx, sandbox.RefundCharge{ChargeID: p.ID, Key: key, Amount: amount})
	}, func(c sandbox.Charge) bool { _, made := c.Refund(key); return made })
	switch {
	case errors.Is(err, sandbox.ErrRefundMuch): // other refunds were here first
		return payments.Payment{}, payments.ErrTooMuch
	case errors.Is(err, sandbox.ErrRefundKey):
		return payments.Payment{}, payments.ErrRefund
	case err != nil:
		return payments.Payment{}, foreign(err)
	}
	failpoint.Hit("payments.returned")
	return d.noteRefund(ctx, r, key, charge)
}

// noteRefund writes down what the provider has given back. Where it has done nothing
// under the key, nothing was left.
func (d *desk) noteRefund(ctx context.Context, r payments.RefundPayment, key string, charge sandbox.Charge) (payments.Payment, error) {
	made, ok := charge.Refund(key)
	if !ok {
		p, version, err := d.payments.Get(ctx, r.OrderID)
		return viewOf(r.OrderID, p, version), err
	}
	command := commandRefund
	if r.RefundID != "" {
		command += " " + r.RefundID
	}
	done, err := d.note(ctx, r.OrderID, command, domain.Refund{ID: r.RefundID, Minor: made.Amount.Minor})
	failpoint.Hit("payments.refunded")
	return done, err
}
