// Package shipping is what the shipping service says: one shipment per order,
// handed to a carrier and delivered by it.
package shipping

import (
	"time"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/contracts/line"
	"github.com/ordermesh/ordermesh/contracts/postal"
	"github.com/ordermesh/ordermesh/contracts/sandbox"
)

// The methods of the shipping service.
var (
	Create = contract.NewMethod[CreateShipment, Shipment]("shipping", "create", contract.Idempotent(),
		contract.Doc("hands the order's lines to the carrier"))
	Cancel = contract.NewMethod[ShipmentRef, Shipment]("shipping", "cancel", contract.Idempotent(), contract.Urgent(),
		contract.Doc("stops a shipment that is not delivered and refuses a later one, also if there is none yet"))
	Get = contract.NewMethod[GetShipment, Shipment]("shipping", "get", contract.Read(),
		contract.Doc("answers the shipment of an order as it is now; not to who acts for a customer"))
	Track = contract.NewMethod[ShipmentRef, Shipment]("shipping", "track", contract.Idempotent(),
		contract.Doc("asks the carrier where the parcel of an order is, and notes a delivery of which it has not told; not for customers"))
	Deliver = sandbox.Deliver // the carrier's callback, in the carrier's form
)

// CreateShipment asks to send lines to an address.
type CreateShipment struct {
	OrderID string         `json:"order_id"`
	ShipTo  postal.Address `json:"ship_to"`
	Lines   []line.Line    `json:"lines"`
}

// Validate refuses malformed ids, addresses and lines.
func (r CreateShipment) Validate() error {
	if err := contract.CheckID("/order_id", r.OrderID); err != nil {
		return err
	}
	if err := r.ShipTo.Check("/ship_to"); err != nil {
		return err
	}
	return line.Check("/lines", r.Lines)
}

// ShipmentRef names the shipment of an order.
type ShipmentRef struct {
	OrderID string `json:"order_id"`
}

// Validate refuses a malformed id.
func (r ShipmentRef) Validate() error { return contract.CheckID("/order_id", r.OrderID) }

// Status is where a shipment stands.
type Status string

// The states of a shipment.
const (
	Created   Status = "created"
	Cancelled Status = "cancelled"
	Delivered Status = "delivered"
)

// Shipment is a shipment as it is now.
type Shipment struct {
	OrderID    string    `json:"order_id"`
	ShipmentID string    `json:"shipment_id,omitzero"` // the carrier's tracking id
	Status     Status    `json:"status"`
	Due        time.Time `json:"due,omitzero"` // when the carrier means to deliver
	Version    uint64    `json:"version"`
}
