package domain

import (
	"github.com/ordermesh/ordermesh/contracts/money"
	"github.com/ordermesh/ordermesh/contracts/payments"
)

// Command is a command on a payment.
//
//sumtype:decl
type Command interface{ paymentCommand() }

// Authorize notes that the provider has reserved the money.
type Authorize struct {
	PaymentID string
	Amount    money.Amount
}

// Decline notes that the provider refused.
type Decline struct {
	PaymentID string
	Reason    string
}

// Capture notes that the provider has taken the money that was reserved.
type Capture struct{}

// Void notes that the provider has given the reserved money back. Without a payment
// it makes one that is void, so that an authorization that comes too late is
// refused.
type Void struct{}

// Refund notes that the provider has given captured money back under a refund's id.
type Refund struct {
	ID    string
	Minor int64
}

func (Authorize) paymentCommand() {}
func (Decline) paymentCommand()   {}
func (Capture) paymentCommand()   {}
func (Void) paymentCommand()      {}
func (Refund) paymentCommand()    {}

// Decide returns the events of a command, nothing if there is nothing to do, or the
// reason why not.
func Decide(p Payment, c Command) ([]payments.Event, error) {
	switch c := c.(type) {
	case Authorize:
		ask, err := p.MayAuthorize(c.Amount)
		if p.Status == payments.Authorized && c.PaymentID != p.ID {
			return nil, payments.ErrDiffers
		}
		return event(ask, err, payments.PaymentAuthorized(c))
	case Decline:
		return p.decline(c)
	case Capture:
		ask, err := p.MayCapture()
		return event(ask, err, payments.PaymentCaptured{Amount: p.Amount})
	case Void:
		ask, err := p.MayVoid()
		return event(ask, err, payments.PaymentVoided{})
	case Refund:
		return p.giveBack(c)
	}
	return nil, nil
}

func event(ask bool, err error, e payments.Event) ([]payments.Event, error) {
	if err != nil || !ask {
		return nil, err
	}
	return []payments.Event{e}, nil
}

// MayAuthorize reports whether the provider is to be asked for the amount; false
// without an error means that it has been asked and the answer is known.
func (p Payment) MayAuthorize(amount money.Amount) (bool, error) {
	switch p.Status {
	case "":
		return true, nil
	case payments.Voided:
		return false, payments.ErrVoided
	case payments.Declined:
		return false, nil
	case payments.Authorized, payments.Captured, payments.Refunded:
		if p.Amount != amount {
			return false, payments.ErrDiffers
		}
	}
	return false, nil
}

// MayCapture reports whether the provider is to be asked for the money.
func (p Payment) MayCapture() (bool, error) {
	switch p.Status {
	case payments.Authorized:
		return true, nil
	case payments.Captured, payments.Refunded:
		return false, nil
	case payments.Voided:
		return false, payments.ErrVoided
	case payments.Declined:
		return false, payments.ErrDeclined
	}
	return false, payments.ErrUnknown
}

// MayVoid reports whether the provider is to be asked to give reserved money back.
func (p Payment) MayVoid() (bool, error) {
	switch p.Status {
	case "", payments.Authorized:
		return true, nil
	case payments.Captured:
		return false, payments.ErrCaptured
	case payments.Voided, payments.Declined, payments.Refunded:
		return false, nil
	}
	return false, nil
}

func (p Payment) decline(c Decline) ([]payments.Event, error) {
	switch p.Status {
	case "":
		return []payments.Event{payments.PaymentDeclined(c)}, nil
	case payments.Declined, payments.Voided:
		return nil, nil
	case payments.Authorized, payments.Captured, payments.Refunded:
		return nil, payments.ErrDiffers
	}
	return nil, payments.ErrDiffers
}
