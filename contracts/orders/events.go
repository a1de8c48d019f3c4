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
	ShipmentID string `json:"shipment_id"`
}

// OrderDelivered says that the carrier has delivered the parcel.
type OrderDelivered struct{}

// OrderCancelled says that the order ends here and why.
type OrderCancelled struct {
	Reason string `json:"reason"`
}

func (OrderPlaced) orderEvent()     {}
func (OrderConfirmed) orderEvent()  {}
func (OrderDispatched) orderEvent() {}
func (OrderShipped) orderEvent()    {}
func (OrderDelivered) orderEvent()  {}
func (OrderCancelled) orderEvent()  {}

// Events are the events of the entity "order".
var Events = contract.NewEvents[Event]("orders", "ORDERS", "order",
	contract.Type[Event, OrderPlaced]("order.placed.v1"),
	contract.Type[Event, OrderConfirmed]("order.confirmed.v1"),
	contract.Type[Event, OrderDispatched]("order.dispatched.v1"),
	contract.Type[Event, OrderShipped]("order.shipped.v1"),
	contract.Type[Event, OrderDelivered]("order.delivered.v1"),
	contract.Type[Event, OrderCancelled]("order.cancelled.v1"),
	contract.Upcast[Event]("order.placed.v0", placedV0.lift),
)
