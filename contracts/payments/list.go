package payments

import (
	"slices"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/contracts/page"
)

// List is the method payments.list. It knows no customers: who acts for one finds nothing.
var List = contract.NewMethod[ListPayments, Payments]("payments", "list", contract.Lists(),
	contract.Doc("lists payments, those that began last first; nothing to who acts for a customer"))

// GetPayment asks for the payment of an order. With MinVersion the answer waits until the
// payment has come that far, or the caller's time is nearly over.
type GetPayment struct {
	OrderID    string `json:"order_id"`
	MinVersion uint64 `json:"min_version,omitzero"`
}

// Validate refuses a malformed id and a version that no payment reaches.
func (r GetPayment) Validate() error {
	if err := page.CheckVersion("/min_version", r.MinVersion); err != nil {
		return err
	}
	return contract.CheckID("/order_id", r.OrderID)
}

// ListPayments asks for a page of payments, those that began last first.
type ListPayments struct {
	Status   Status         `json:"status,omitzero"`
	Reflects *page.Reflects `json:"reflects,omitzero"` // an order whose payment the page must have seen
	Limit    int            `json:"limit,omitzero"`
	Cursor   string         `json:"cursor,omitzero"`
}

// Validate refuses malformed filters and pages.
func (r ListPayments) Validate() error {
	if r.Status != "" && !r.Status.Known() {
		return contract.ErrInvalid.At("/status").Sayf("status must be one of authorized, declined, captured, voided, refunded")
	}
	if err := r.Reflects.Check("/reflects"); err != nil {
		return err
	}
	return page.Check(r.Limit, r.Cursor)
}

// Statuses are the states of a payment.
func Statuses() []Status { return []Status{Authorized, Declined, Captured, Voided, Refunded} }

// Known reports whether s is one of the states.
func (s Status) Known() bool { return slices.Contains(Statuses(), s) }

// Payments is one page of payments.
type Payments struct {
	Payments   []Payment `json:"payments"`
	NextCursor string    `json:"next_cursor,omitzero"` // absent on the last page
	Behind     uint64    `json:"behind"`               // messages that this view has not seen yet
	Halted     bool      `json:"halted,omitzero"`      // the view stands still until somebody mends it; see mesh view status
}
