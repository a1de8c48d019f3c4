package sandbox

import (
	"context"
	"time"

	"github.com/ordermesh/ordermesh/bus/failpoint"
	"github.com/ordermesh/ordermesh/contracts/sandbox"
)

// refund gives captured money back. The refunds of a charge are records with numbers,
// each created once: who creates the next one has read all before it, so that two
// refunds at the same time cannot give back more than there is.
func (p *Provider) refund(ctx context.Context, req sandbox.RefundCharge) (sandbox.Charge, error) {
	record, err := p.charge(ctx, req.ChargeID)
	if err != nil {
		return sandbox.Charge{}, err
	}
	for {
		now, err := p.state(ctx, record)
		if err != nil {
			return sandbox.Charge{}, err
		}
		next, made, err := refundOf(now, req)
		if err != nil || made {
			return now, err
		}
		key := sandbox.RefundKeyIn(req.ChargeID, len(now.Refunds)+1)
		created, err := p.book.create(ctx, key, sandbox.RefundRecord{
			ChargeID: req.ChargeID, Key: next.Key, Amount: next.Amount, At: time.Now().UTC(),
		})
		if err != nil {
			return sandbox.Charge{}, err
		}
		if created {
			failpoint.Hit("provider.refunded")
			return withRefunds(now, append(now.Refunds, next)), nil
		}
	}
}

// refundOf is the refund that a request asks for of a charge as it is, and whether
// there is nothing to be done because it was made before.
func refundOf(c sandbox.Charge, req sandbox.RefundCharge) (refund sandbox.ChargeRefund, made bool, err error) {
	if c.Status != sandbox.ChargeCaptured && c.Status != sandbox.ChargeRefunded {
		return refund, false, sandbox.ErrNotRefund
	}
	if refund, made = c.Refund(req.Key); made {
		if !req.Amount.IsZero() && req.Amount != refund.Amount {
			return refund, false, sandbox.ErrRefundKey
		}
		return refund, true, nil
	}
	left := c.Amount
	for _, r := range c.Refunds {
		left.Minor -= r.Amount.Minor
	}
	switch {
	case req.Amount.IsZero():
		return sandbox.ChargeRefund{Key: req.Key, Amount: left}, c.Status == sandbox.ChargeRefunded, nil
	case req.Amount.Currency != left.Currency || req.Amount.Minor <= 0 || req.Amount.Minor > left.Minor:
		return refund, false, sandbox.ErrRefundMuch.At("/amount").Sayf("%s cannot be given back: %s are left", req.Amount, left)
	}
	return sandbox.ChargeRefund{Key: req.Key, Amount: req.Amount}, false, nil
}

// refunds reads what was given back of a captured charge.
func (p *Provider) refunds(ctx context.Context, record sandbox.ChargeRecord) ([]sandbox.ChargeRefund, error) {
	var list []sandbox.ChargeRefund
	for {
		var r sandbox.RefundRecord
		found, err := p.book.read(ctx, sandbox.RefundKeyIn(record.ChargeID, len(list)+1), &r)
		if err != nil || !found {
			return list, err
		}
		list = append(list, sandbox.ChargeRefund{Key: r.Key, Amount: r.Of(record.Amount)})
	}
}

// withRefunds is a captured charge with what was given back of it.
func withRefunds(c sandbox.Charge, refunds []sandbox.ChargeRefund) sandbox.Charge {
	c.Refunds = refunds
	var sum int64
	for _, r := range refunds {
		sum += r.Amount.Minor
	}
	if len(refunds) > 0 && sum >= c.Amount.Minor {
		c.Status = sandbox.ChargeRefunded
	}
	return c
}
