package orders

import "slices"

// Status is where an order stands.
type Status string

// The states of an order, in their order; an order may be on hold or end cancelled
// anywhere before it is dispatched.
const (
	Placed     Status = "placed"
	Confirmed  Status = "confirmed"  // stock is held and money reserved
	OnHold     Status = "on_hold"    // a person must decide
	Dispatched Status = "dispatched" // paid and sold: the point of no return
	Shipped    Status = "shipped"    // the carrier has it
	Delivered  Status = "delivered"
	Cancelled  Status = "cancelled"
)

// Statuses are the states, in their order.
func Statuses() []Status {
	return []Status{Placed, Confirmed, OnHold, Dispatched, Shipped, Delivered, Cancelled}
}

// Known reports whether s is one of the states.
func (s Status) Known() bool { return slices.Contains(Statuses(), s) }

// Reasons for which an order is cancelled by the mesh. A person may give any other.
const (
	ReasonOutOfStock      = "out_of_stock"
	ReasonPaymentDeclined = "payment_declined"
	ReasonPaymentTimeout  = "payment_timeout" // the provider did not answer in time
	ReasonRejected        = "rejected"        // a person did not let the held order go on
	ReasonHoldExpired     = "hold_expired"    // nobody decided about the held order in time
)
