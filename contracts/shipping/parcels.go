package shipping

import (
	"time"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/contracts/page"
)

// Parcels is the method shipping.parcels: what the carrier says it has, not what this
// service has noted. It is for comparing the two, and not for customers.
var Parcels = contract.NewMethod[ListParcels, ParcelPage]("shipping", "parcels", contract.Lists(),
	contract.Doc("lists the parcels in the carrier's book, the oldest first, or that of one order"))

// ListParcels asks for a page of the carrier's book, or for the parcel of one order.
type ListParcels struct {
	OrderID string `json:"order_id,omitzero"`
	Limit   int    `json:"limit,omitzero"`
	Cursor  string `json:"cursor,omitzero"`
}

// Validate refuses a malformed id and page.
func (r ListParcels) Validate() error {
	if r.OrderID != "" {
		if err := contract.CheckID("/order_id", r.OrderID); err != nil {
			return err
		}
	}
	return page.Check(r.Limit, r.Cursor)
}

// ParcelPage is one page of the carrier's book.
type ParcelPage struct {
	Parcels    []Parcel `json:"parcels"`
	NextCursor string   `json:"next_cursor,omitzero"` // absent on the last page
}

// Parcel is a parcel as the carrier has it.
type Parcel struct {
	OrderID    string    `json:"order_id"`
	ShipmentID string    `json:"shipment_id"`
	Status     Status    `json:"status"` // created while it is on its way
	Due        time.Time `json:"due"`
}
