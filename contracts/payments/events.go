package payments

import (
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/contracts/money"
)

// Event is an event of the payment of one order.
//
//sumtype:decl
type Event interface{ paymentEvent() }

// PaymentAuthorized says that the provider has reserved the money.
type PaymentAuthorized struct {
	PaymentID string       `json:"payment_id"`
	Amount    money.Amount `json:"amount"`
}

// PaymentDeclined says that the provider refused.
type PaymentDeclined struct {
	PaymentID string `json:"payment_id,omitzero"`
	Reason    string `json:"reason"`
}

// PaymentCaptured says that the money was taken.
type PaymentCaptured struct {
	Amount money.Amount `json:"amount"`
}

// PaymentVoided says that the reserved money was given back, or, as the first event,
// that none will ever be reserved.
type PaymentVoided struct{}

// PaymentRefunded says that captured money was given back.
type PaymentRefunded struct {
	RefundID string       `json:"refund_id,omitzero"`
	Amount   money.Amount `json:"amount"`
}

func (PaymentAuthorized) paymentEvent() {}
func (PaymentDeclined) paymentEvent()   {}
func (PaymentCaptured) paymentEvent()   {}
func (PaymentVoided) paymentEvent()     {}
func (PaymentRefunded) paymentEvent()   {}

// Events are the events of the entity "payment", whose id is the order's.
var Events = contract.NewEvents[Event]("payments", "PAYMENTS", "payment",
	contract.Type[Event, PaymentAuthorized]("payment.authorized.v1"),
	contract.Type[Event, PaymentDeclined]("payment.declined.v1"),
	contract.Type[Event, PaymentCaptured]("payment.captured.v1"),
	contract.Type[Event, PaymentVoided]("payment.voided.v1"),
	contract.Type[Event, PaymentRefunded]("payment.refunded.v1"),
)
