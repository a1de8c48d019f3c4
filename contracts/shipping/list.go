package shipping

import (
	"slices"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/contracts/page"
)

// List is the method shipping.list. It knows no customers: who acts for one finds nothing.
var List = contract.NewMethod[ListShipments, Shipments]("shipping", "list", contract.Lists(),
	contract.Doc("lists shipments, those that began last first; nothing to who acts for a customer"))

// GetShipment asks for the shipment of an order. With MinVersion the answer waits until the
// shipment has come that far, or the caller's time is nearly over.
type GetShipment struct {
	OrderID    string `json:"order_id"`
	MinVersion uint64 `json:"min_version,omitzero"`
}

// Validate refuses a malformed id and a version that no shipment reaches.
func (r GetShipment) Validate() error {
	if err := page.CheckVersion("/min_version", r.MinVersion); err != nil {
		return err
	}
	return contract.CheckID("/order_id", r.OrderID)
}

// ListShipments asks for a page of shipments, those that began last first.
type ListShipments struct {
	Status   Status         `json:"status,omitzero"`
	Reflects *page.Reflects `json:"reflects,omitzero"` // an order whose shipment the page must have seen
	Limit    int            `json:"limit,omitzero"`
	Cursor   string         `json:"cursor,omitzero"`
}

// Validate refuses malformed filters and pages.
func (r ListShipments) Validate() error {
	if r.Status != "" && !r.Status.Known() {
		return contract.ErrInvalid.At("/status").Sayf("status must be one of created, cancelled, delivered")
	}
	if err := r.Reflects.Check("/reflects"); err != nil {
		return err
	}
	return page.Check(r.Limit, r.Cursor)
}

// Statuses are the states of a shipment.
func Statuses() []Status { return []Status{Created, Cancelled, Delivered} }

// Known reports whether s is one of the states.
func (s Status) Known() bool { return slices.Contains(Statuses(), s) }

// Shipments is one page of shipments.
type Shipments struct {
	Shipments  []Shipment `json:"shipments"`
	NextCursor string     `json:"next_cursor,omitzero"` // absent on the last page
	Behind     uint64     `json:"behind"`               // messages that this view has not seen yet
	Halted     bool       `json:"halted,omitzero"`      // the view stands still until somebody mends it; see mesh view status
}
