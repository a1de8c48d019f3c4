package orders

import (
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/contracts/money"
	"github.com/ordermesh/ordermesh/contracts/text"
)

// Refund is the method orders.refund. It is not for customers. Under one
// idempotency key an order is refunded once; without a key each call is a refund of
// its own.
var Refund = contract.NewMethod[RefundOrder, Order]("orders", "refund",
	contract.Doc("gives back what was paid for a delivered order, or a part of it; the money follows by itself"))

// RefundOrder asks to give money back. Without an amount it is all that is left.
type RefundOrder struct {
	OrderID string       `json:"order_id"`
	Amount  *money.Input `json:"amount,omitzero"`
	Reason  string       `json:"reason"`
}

// Validate refuses a malformed id, amount and reason, and amounts that are nothing.
func (r RefundOrder) Validate() error {
	if err := contract.CheckID("/order_id", r.OrderID); err != nil {
		return err
	}
	if r.Amount != nil {
		if err := r.Amount.Check("/amount"); err != nil {
			return err
		}
		if r.Amount.Amount().Minor == 0 {
			return ErrNoAmount.At("/amount/amount")
		}
	}
	return text.Required("/reason", r.Reason)
}

// MaxRefunds is how many refunds an order can have.
const MaxRefunds = 100

// RefundStatus is where a refund stands.
type RefundStatus string

// The states of a refund.
const (
	RefundRequested RefundStatus = "requested"
	RefundDone      RefundStatus = "refunded"
	RefundFailed    RefundStatus = "failed" // no money was given back
)

// OrderRefund is one refund of an order.
type OrderRefund struct {
	RefundID string       `json:"refund_id"`
	Amount   money.Amount `json:"amount"`
	Reason   string       `json:"reason"`
	Status   RefundStatus `json:"status"`
	Failure  string       `json:"failure,omitzero"` // why it failed
}
