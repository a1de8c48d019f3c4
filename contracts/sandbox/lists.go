package sandbox

import (
	"strconv"

	"github.com/ordermesh/ordermesh/bus/contract"
)

// The methods by which the firms show their books, page by page, the oldest first.
var (
	ListCharges = contract.NewMethod[BookPage, ChargeList]("provider", "list", contract.Lists(),
		contract.Doc("lists charges, the oldest first"))
	ListParcels = contract.NewMethod[BookPage, ParcelList]("carrier", "list", contract.Lists(),
		contract.Doc("lists parcels, the oldest first"))
)

// MaxBookPage is how many entries a page of a book has at most.
const MaxBookPage = 200

// BookPage asks for the entries of a book after a place in it.
type BookPage struct {
	After uint64 `json:"after,omitzero"` // the Next of the page before
	Limit int    `json:"limit"`
}

// maxPlace is more than any book has.
const maxPlace = 1 << 53

// Validate refuses a place that no book has and a limit that is none.
func (r BookPage) Validate() error {
	if r.After > maxPlace {
		return contract.ErrInvalid.At("/after").Sayf("after must be at most %s", strconv.Itoa(maxPlace))
	}
	if r.Limit < 1 || r.Limit > MaxBookPage {
		return contract.ErrInvalid.At("/limit").Sayf("limit must be 1 to %s", strconv.Itoa(MaxBookPage))
	}
	return nil
}

// ChargeList is a page of the provider's book.
type ChargeList struct {
	Charges []OrderCharge `json:"charges"`
	Next    uint64        `json:"next,omitzero"` // absent on the last page
}

// OrderCharge is a charge with the merchant's reference.
type OrderCharge struct {
	OrderID string `json:"order_id"`
	Charge  Charge `json:"charge"`
}

// ParcelList is a page of the carrier's book.
type ParcelList struct {
	Parcels []OrderParcel `json:"parcels"`
	Next    uint64        `json:"next,omitzero"` // absent on the last page
}

// OrderParcel is a parcel with the merchant's reference.
type OrderParcel struct {
	OrderID string `json:"order_id"`
	Parcel  Parcel `json:"parcel"`
}
