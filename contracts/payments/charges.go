package payments

import (
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/contracts/money"
	"github.com/ordermesh/ordermesh/contracts/page"
)

// Charges is the method payments.charges: what the provider says it has, not what this
// service has noted. It is for comparing the two, and not for customers.
var Charges = contract.NewMethod[ListCharges, ChargePage]("payments", "charges", contract.Lists(),
	contract.Doc("lists the charges in the provider's book, the oldest first, or that of one order"))

// ListCharges asks for a page of the provider's book, or for the charge of one order.
type ListCharges struct {
	OrderID string `json:"order_id,omitzero"`
	Limit   int    `json:"limit,omitzero"`
	Cursor  string `json:"cursor,omitzero"`
}

// Validate refuses a malformed id and page.
func (r ListCharges) Validate() error {
	if r.OrderID != "" {
		if err := contract.CheckID("/order_id", r.OrderID); err != nil {
			return err
		}
	}
	return page.Check(r.Limit, r.Cursor)
}

// ChargePage is one page of the provider's book.
type ChargePage struct {
	Charges    []Charge `json:"charges"`
	NextCursor string   `json:"next_cursor,omitzero"` // absent on the last page
}

// Charge is a charge as the provider has it.
type Charge struct {
	OrderID   string       `json:"order_id"`
	PaymentID string       `json:"payment_id"`
	Status    Status       `json:"status"`
	Amount    money.Amount `json:"amount"`
	Refunded  money.Amount `json:"refunded,omitzero"`
}
