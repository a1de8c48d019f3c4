package shipping

import (
	"time"

	"github.com/ordermesh/ordermesh/bus/contract"
)

// Event is an event of the shipment of one order.
//
//sumtype:decl
type Event interface{ shipmentEvent() }

// ShipmentCreated says that the carrier has taken the parcel on.
type ShipmentCreated struct {
	ShipmentID string    `json:"shipment_id"`  // the carrier's tracking id
	Due        time.Time `json:"due,omitzero"` // when the carrier means to deliver
}

// ShipmentCancelled says that the parcel was stopped, or, as the first event, that
// none will ever be sent.
type ShipmentCancelled struct{}

// ShipmentDelivered says that the carrier has delivered the parcel.
type ShipmentDelivered struct {
	ShipmentID string `json:"shipment_id"`
}

func (ShipmentCreated) shipmentEvent()   {}
func (ShipmentCancelled) shipmentEvent() {}
func (ShipmentDelivered) shipmentEvent() {}

// Events are the events of the entity "shipment", whose id is the order's.
var Events = contract.NewEvents[Event]("shipping", "SHIPPING", "shipment",
	contract.Type[Event, ShipmentCreated]("shipment.created.v1"),
	contract.Type[Event, ShipmentCancelled]("shipment.cancelled.v1"),
	contract.Type[Event, ShipmentDelivered]("shipment.delivered.v1"),
)
