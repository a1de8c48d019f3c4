// Package payments is what the payments service says: one payment per order,
// authorized, then captured or voided, then perhaps refunded.
//
// It promises that an order is charged at most once, whatever is repeated: each
// method is idempotent per order, refunds per refund id. Tokens never appear in events; see
// [AuthorizePayment].
package payments

import (
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/contracts/money"
	"github.com/ordermesh/ordermesh/contracts/sealed"
	"github.com/ordermesh/ordermesh/contracts/text"
)

// The methods of the payments service.
var (
	Authorize = contract.NewMethod[AuthorizePayment, Payment]("payments", "authorize", contract.Idempotent(),
		contract.Doc("reserves the order's total at the provider; answers declined if the provider does"))
	Capture = contract.NewMethod[PaymentRef, Payment]("payments", "capture", contract.Idempotent(),
		contract.Doc("takes the money that is reserved for the order"))
	Void = contract.NewMethod[PaymentRef, Payment]("payments", "void", contract.Idempotent(), contract.Urgent(),
		contract.Doc("gives reserved money back and refuses a later authorization, also if there is none yet"))
	Refund = contract.NewMethod[RefundPayment, Payment]("payments", "refund", contract.Idempotent(),
		contract.Doc("gives captured money back, once per refund id and never more than was captured"))
	Get = contract.NewMethod[GetPayment, Payment]("payments", "get", contract.Read(),
		contract.Doc("answers the payment of an order as it is now; not to who acts for a customer"))
	Key = contract.NewMethod[GetKey, PublicKey]("payments", "key", contract.Read(),
		contract.Doc("answers the public key with which payment tokens are sealed into references"))
)

// KeyBook is the bucket in which the payments service keeps its private key, under
// [KeyInBook], created once. Nobody else may read it.
const KeyBook = "payments_keys"

// KeyInBook is the key of the private key in KeyBook.
const KeyInBook = "sealing"

// AuthorizePayment asks to reserve money for an order. Reference is the customer's
// payment token, sealed by the service that received it with the key from [Key] and
// with the order id as context (contracts/sealed): events and journals carry the
// reference, payments alone can turn it back into the token.
type AuthorizePayment struct {
	OrderID   string       `json:"order_id"`
	Amount    money.Amount `json:"amount"`
	Reference string       `json:"reference"`
}

// Validate refuses malformed ids, amounts and references.
func (r AuthorizePayment) Validate() error {
	if err := contract.CheckID("/order_id", r.OrderID); err != nil {
		return err
	}
	if err := r.Amount.Check("/amount"); err != nil {
		return err
	}
	return text.Visible("/reference", r.Reference, sealed.MaxLength)
}

// PaymentRef names the payment of an order.
type PaymentRef struct {
	OrderID string `json:"order_id"`
}

// Validate refuses a malformed id.
func (r PaymentRef) Validate() error { return contract.CheckID("/order_id", r.OrderID) }

// RefundPayment asks to give captured money back. The same refund id is the same refund
// of the order's payment; without an id all that is left is given back. Without an
// amount it is all that is left, too.
type RefundPayment struct {
	OrderID  string       `json:"order_id"`
	RefundID string       `json:"refund_id,omitzero"`
	Amount   *money.Input `json:"amount,omitzero"`
}

// Validate refuses malformed ids and amounts, and an amount without a refund id.
func (r RefundPayment) Validate() error {
	if err := contract.CheckID("/order_id", r.OrderID); err != nil {
		return err
	}
	if r.RefundID != "" {
		if err := contract.CheckID("/refund_id", r.RefundID); err != nil {
			return err
		}
	}
	switch {
	case r.Amount == nil:
		return nil
	case r.RefundID == "":
		return contract.ErrInvalid.At("/refund_id").Sayf("refund_id is missing: an amount needs one")
	}
	if err := r.Amount.Check("/amount"); err != nil {
		return err
	}
	if r.Amount.Amount().Minor == 0 {
		return ErrTooMuch.At("/amount/amount")
	}
	return nil
}

// Status is where a payment stands.
type Status string

// The states of a payment.
const (
	Authorized Status = "authorized"
	Declined   Status = "declined"
	Captured   Status = "captured"
	Voided     Status = "voided"
	Refunded   Status = "refunded" // everything captured was given back
)

// Payment is a payment as it is now.
type Payment struct {
	OrderID   string       `json:"order_id"`
	PaymentID string       `json:"payment_id,omitzero"` // the provider's charge
	Status    Status       `json:"status"`
	Amount    money.Amount `json:"amount,omitzero"` // authorized
	Captured  money.Amount `json:"captured,omitzero"`
	Refunded  money.Amount `json:"refunded,omitzero"`
	Reason    string       `json:"reason,omitzero"` // why it was declined
	Version   uint64       `json:"version"`
}

// GetKey asks for the sealing key.
type GetKey struct{}

// PublicKey is the sealing key; see sealed.PublicKey.
type PublicKey struct {
	KeyID string `json:"key_id"`
	Key   string `json:"key"`
}
