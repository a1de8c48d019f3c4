package payments

import (
	"context"
	"errors"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/failpoint"
	"github.com/ordermesh/ordermesh/bus/telemetry"
	"github.com/ordermesh/ordermesh/contracts/money"
	"github.com/ordermesh/ordermesh/contracts/payments"
	"github.com/ordermesh/ordermesh/contracts/sandbox"
	"github.com/ordermesh/ordermesh/services/payments/domain"
)

// Command ids: each operation happens once per order, or per refund.
const (
	commandAuthorize = "payments.authorize"
	commandCapture   = "payments.capture"
	commandVoid      = "payments.void"
	commandRefund    = "payments.refund" // and the refund's id, if it has one
)

func (d *desk) authorize(ctx context.Context, r payments.AuthorizePayment) (payments.Payment, error) {
	p, version, ask, err := d.look(ctx, r.OrderID, func(p domain.Payment) (bool, error) { return p.MayAuthorize(r.Amount) })
	if err != nil || !ask {
		return viewOf(r.OrderID, p, version), err
	}
	token, err := d.keys.open(r.Reference, r.OrderID)
	if err != nil {
		return payments.Payment{}, err
	}
	key := chargeKey(r.OrderID)
	charge, err := d.ask(ctx, key, func(ctx context.Context) (sandbox.Charge, error) {
		return d.provider.Authorize(ctx, sandbox.AuthorizeCharge{Key: key, OrderID: r.OrderID, Amount: r.Amount, Token: token})
	}, isNow(sandbox.ChargeAuthorized, sandbox.ChargeDeclined, sandbox.ChargeVoided, sandbox.ChargeCaptured, sandbox.ChargeRefunded))
	switch {
	case errors.Is(err, sandbox.ErrChargeKey):
		return payments.Payment{}, payments.ErrDiffers
	case err != nil:
		return payments.Payment{}, foreign(err)
	}
	failpoint.Hit("payments.charged")
	return d.noteCharge(ctx, r, key, charge)
}

// noteCharge writes down what the provider said.
func (d *desk) noteCharge(ctx context.Context, r payments.AuthorizePayment, key string, charge sandbox.Charge) (payments.Payment, error) {
	switch charge.Status {
	case sandbox.ChargeDeclined:
		return d.note(ctx, r.OrderID, commandAuthorize, domain.Decline{PaymentID: charge.ChargeID, Reason: charge.Reason})
	case sandbox.ChargeVoided: // a void was here first
		return payments.Payment{}, payments.ErrVoided
	case sandbox.ChargeAuthorized, sandbox.ChargeCaptured, sandbox.ChargeRefunded:
	}
	if charge.Amount != r.Amount { // the provider's answers are not to be trusted blindly
		return payments.Payment{}, payments.ErrDiffers
	}
	p, err := d.note(ctx, r.OrderID, commandAuthorize, domain.Authorize{PaymentID: charge.ChargeID, Amount: charge.Amount})
	failpoint.Hit("payments.authorized")
	if errors.Is(err, payments.ErrVoided) { // too late: nothing may stay reserved
		if _, void := d.bounded(ctx, func(ctx context.Context) (sandbox.Charge, error) { return d.provider.Void(ctx, key) }); void != nil {
			return payments.Payment{}, foreign(void)
		}
	}
	return p, err
}

func (d *desk) capture(ctx context.Context, r payments.PaymentRef) (payments.Payment, error) {
	p, version, ask, err := d.look(ctx, r.OrderID, domain.Payment.MayCapture)
	if err != nil || !ask {
		return viewOf(r.OrderID, p, version), err
	}
	_, err = d.ask(ctx, chargeKey(r.OrderID), func(ctx context.Context) (sandbox.Charge, error) {
		return d.provider.Capture(ctx, p.ID)
	}, isNow(sandbox.ChargeCaptured, sandbox.ChargeRefunded))
	switch {
	case errors.Is(err, sandbox.ErrNotCapture):
		return payments.Payment{}, payments.ErrVoided
	case err != nil:
		return payments.Payment{}, foreign(err)
	}
	failpoint.Hit("payments.taken")
	done, err := d.note(ctx, r.OrderID, commandCapture, domain.Capture{})
	failpoint.Hit("payments.captured")
	return done, err
}

// void asks the provider first, also when there is no payment yet: from then on no
// charge under the order's key can reserve anything.
func (d *desk) void(ctx context.Context, r payments.PaymentRef) (payments.Payment, error) {
	p, version, ask, err := d.look(ctx, r.OrderID, domain.Payment.MayVoid)
	if err != nil || !ask {
		return viewOf(r.OrderID, p, version), err
	}
	key := chargeKey(r.OrderID)
	_, err = d.ask(ctx, key, func(ctx context.Context) (sandbox.Charge, error) {
		return d.provider.Void(ctx, key)
	}, isNow(sandbox.ChargeVoided, sandbox.ChargeDeclined))
	switch {
	case errors.Is(err, sandbox.ErrNotVoid):
		return d.catchUp(ctx, r.OrderID)
	case err != nil:
		return payments.Payment{}, foreign(err)
	}
	failpoint.Hit("payments.released")
	done, err := d.note(ctx, r.OrderID, commandVoid, domain.Void{})
	failpoint.Hit("payments.voided")
	return done, err
}

// catchUp writes down a capture that the provider has made and this service has not
// noted yet; the void comes too late.
func (d *desk) catchUp(ctx context.Context, orderID string) (payments.Payment, error) {
	if _, err := d.note(ctx, orderID, commandCapture, domain.Capture{}); err != nil {
		return payments.Payment{}, err
	}
	return payments.Payment{}, payments.ErrCaptured
}

// look says whether the provider is to be asked. An old memory of the payment may say
// so, too: the provider does nothing twice, and the note that follows is refused if the
// payment has changed. What is done already, or refused, is answered from a fresh read.
func (d *desk) look(ctx context.Context, orderID string, may func(domain.Payment) (bool, error)) (domain.Payment, uint64, bool, error) {
	p, version, err := d.payments.Peek(ctx, orderID)
	if err == nil {
		if ask, err := may(p); ask && err == nil {
			return p, version, true, nil
		}
	}
	if p, version, err = d.payments.Get(ctx, orderID); err != nil {
		return p, version, false, err
	}
	ask, err := may(p)
	return p, version, ask, err
}

// get knows no customers: who acts for one asks the orders service.
func (d *desk) get(ctx context.Context, r payments.GetPayment) (payments.Payment, error) {
	if telemetry.ActorFrom(ctx).For != "" {
		return payments.Payment{}, payments.ErrUnknown
	}
	return d.await(ctx, r.OrderID, r.MinVersion)
}

// await answers the payment of an order once it has reached a version.
func (d *desk) await(ctx context.Context, orderID string, version uint64) (payments.Payment, error) {
	p, now, err := d.payments.Await(ctx, orderID, version)
	if err == nil && now == 0 {
		err = payments.ErrUnknown
	}
	return viewOf(orderID, p, now), err
}

func (d *desk) note(ctx context.Context, orderID, commandID string, c domain.Command) (payments.Payment, error) {
	p, version, err := d.payments.Do(ctx, orderID, commandID, c)
	if err != nil {
		return payments.Payment{}, err
	}
	return viewOf(orderID, p, version), nil
}

// foreign is an error of the provider as this service answers it: a refusal that is not
// understood must not look like one of the payment's own.
func foreign(err error) error {
	if contract.IsRefusal(err) {
		return contract.ErrUnavailable.Sayf("the payment provider refuses: %v", err)
	}
	return err
}

func viewOf(orderID string, p domain.Payment, version uint64) payments.Payment {
	v := payments.Payment{
		OrderID: orderID, PaymentID: p.ID, Status: p.Status, Amount: p.Amount, Reason: p.Reason, Version: version,
	}
	if p.Captured != 0 {
		v.Captured = money.New(p.Captured, p.Amount.Currency)
	}
	if p.Refunded != 0 {
		v.Refunded = money.New(p.Refunded, p.Amount.Currency)
	}
	return v
}
