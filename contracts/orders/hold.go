package orders

import (
	"time"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/contracts/text"
)

// The methods by which a person decides about an order that is on hold. They are not
// for customers. Deciding the same once more changes nothing.
var (
	Approve = contract.NewMethod[DecideOrder, Order]("orders", "approve", contract.Idempotent(),
		contract.Doc("lets an order that is on hold go on"))
	Reject = contract.NewMethod[DecideOrder, Order]("orders", "reject", contract.Idempotent(), contract.Urgent(),
		contract.Doc("cancels an order that is on hold"))
)

// DecideOrder approves or rejects an order.
type DecideOrder struct {
	OrderID string `json:"order_id"`
	Reason  string `json:"reason,omitzero"`
}

// Validate refuses a malformed id and reason.
func (r DecideOrder) Validate() error {
	if err := contract.CheckID("/order_id", r.OrderID); err != nil {
		return err
	}
	return text.Optional("/reason", r.Reason)
}

// HoldOverLimit is why an order is held whose total is above the setting
// orders.hold_over.
const HoldOverLimit = "over_limit"

// Decision is what became of a hold.
type Decision string

// The decisions; none while nobody has decided.
const (
	Approved Decision = "approved"
	Rejected Decision = "rejected"
)

// Hold is why and until when an order waits for a person, or did, and what was decided.
type Hold struct {
	Reason   string    `json:"reason"` // such as HoldOverLimit
	Until    time.Time `json:"until"`
	Decision Decision  `json:"decision,omitzero"`
	Note     string    `json:"note,omitzero"` // the reason that the person gave
}
