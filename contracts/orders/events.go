package orders

import (
	"time"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/contracts/money"
	"github.com/ordermesh/ordermesh/contracts/postal"
)

// Event is an event of an order.
//
//sumtype:decl
type Event interface{ orderEvent() }

// OrderPlaced is an order's first event.
type OrderPlaced struct {
	CustomerID       string         `json:"customer_id"`
	Lines            []Line         `json:"lines"`
	Total            money.Amount   `json:"total"`
	PaymentReference string         `json:"payment_reference"` // sealed for payments, for this order alone
	ShipTo           postal.Address `json:"ship_to"`
	RequestHash      string         `json:"request_hash"` // recognises a retry of the same request
	PlacedAt         time.Time      `json:"placed_at"`
	Acceptance       *Acceptance    `json:"acceptance,omitzero"` // if there were rules; rejected: an OrderCancelled follows in the same commit
}

// OrderConfirmed says that stock is held and money reserved.
type OrderConfirmed struct {
	PaymentID string `json:"payment_id"`
}

// OrderDispatched says that the order is paid and its stock sold. It cannot be
// cancelled any more.
type OrderDispatched struct{}

// OrderShipped says that the carrier has the parcel.
type OrderShipped struct {
	ShipmentID string    `json:"shipment_id"`
	Due        time.Time `json:"due,omitzero"` // when the carrier means to deliver
}

// OrderDelivered says that the carrier has delivered the parcel.
type OrderDelivered struct{}

// OrderCancelled says that the order ends here and why.
type OrderCancelled struct {
	Reason string `json:"reason"`
}

// OrderHeld says that a person must decide about the order, and until when.
type OrderHeld struct {
	Reason string    `json:"reason"` // such as HoldOverLimit
	Until  time.Time `json:"until"`  // after that it is cancelled by itself
}

// OrderApproved says that a person lets a held order go on from where it was.
type OrderApproved struct {
	Reason string `json:"reason,omitzero"`
}

// OrderRejected says that a person does not let a held order go on. An OrderCancelled
// follows it in the same commit.
type OrderRejected struct {
	Reason string `json:"reason,omitzero"`
}

// OrderRefundRequested says that a part of what was paid is to be given back.
type OrderRefundRequested struct {
	RefundID string       `json:"refund_id"`
	Amount   money.Amount `json:"amount"`
	Reason   string       `json:"reason"`
}

// OrderRefunded says that the money of one refund was given back.
type OrderRefunded struct {
	RefundID string       `json:"refund_id"`
	Amount   money.Amount `json:"amount"`
	Refunded money.Amount `json:"refunded"` // of the order so far, with this one
}

// OrderRefundFailed says that a refund was refused: no money was given back.
type OrderRefundFailed struct {
	RefundID string `json:"refund_id"`
	Reason   string `json:"reason"`
}

func (OrderPlaced) orderEvent()          {}
func (OrderHeld) orderEvent()            {}
func (OrderApproved) orderEvent()        {}
func (OrderRejected) orderEvent()        {}
func (OrderConfirmed) orderEvent()       {}
func (OrderDispatched) orderEvent()      {}
func (OrderShipped) orderEvent()         {}
func (OrderDelivered) orderEvent()       {}
func (OrderCancelled) orderEvent()       {}
func (OrderRefundRequested) orderEvent() {}
func (OrderRefunded) orderEvent()        {}
func (OrderRefundFailed) orderEvent()    {}

// Events are the events of the entity "order".
var Events = contract.NewEvents[Event]("orders", "ORDERS", "order",
	contract.Type[Event, OrderPlaced]("order.placed.v1"),
	contract.Type[Event, OrderConfirmed]("order.confirmed.v1"),
	contract.Type[Event, OrderDispatched]("order.dispatched.v1"),
	contract.Type[Event, OrderShipped]("order.shipped.v1"),
	contract.Type[Event, OrderDelivered]("order.delivered.v1"),
	contract.Type[Event, OrderCancelled]("order.cancelled.v1"),
	contract.Type[Event, OrderHeld]("order.held.v1"),
	contract.Type[Event, OrderApproved]("order.approved.v1"),
	contract.Type[Event, OrderRejected]("order.rejected.v1"),
	contract.Type[Event, OrderRefundRequested]("order.refund_requested.v1"),
	contract.Type[Event, OrderRefunded]("order.refunded.v1"),
	contract.Type[Event, OrderRefundFailed]("order.refund_failed.v1"),
	contract.Upcast[Event]("order.placed.v0", placedV0.lift),
)
