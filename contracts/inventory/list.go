package inventory

import (
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/contracts/page"
)

// List is the method inventory.list.
var List = contract.NewMethod[ListStock, StockPage]("inventory", "list", contract.Lists(), contract.HTTP("GET /api/v1/stock"),
	contract.Doc("lists the stock of SKUs in their order, or what is running short, the least first"))

// ListStock asks for a page of stock: in the order of the SKUs or, with AvailableBelow,
// what has less available than that, the least first. The two filters exclude each other.
type ListStock struct {
	SKUPrefix      string         `json:"sku_prefix,omitzero"` // those whose SKU begins so
	AvailableBelow *int64         `json:"available_below,omitzero"`
	Reflects       *page.Reflects `json:"reflects,omitzero"` // a SKU that the page must have seen
	Limit          int            `json:"limit,omitzero"`
	Cursor         string         `json:"cursor,omitzero"`
}

// Validate refuses malformed filters and pages.
func (r ListStock) Validate() error {
	if err := page.CheckPrefix("/sku_prefix", r.SKUPrefix); err != nil {
		return err
	}
	switch {
	case r.AvailableBelow == nil:
	case *r.AvailableBelow < 1:
		return contract.ErrInvalid.At("/available_below").Sayf("available_below must be 1 or more")
	case r.SKUPrefix != "":
		return contract.ErrInvalid.At("/available_below").Sayf("available_below does not go with sku_prefix")
	}
	if err := r.Reflects.Check("/reflects"); err != nil {
		return err
	}
	return page.Check(r.Limit, r.Cursor)
}

// StockPage is one page of stock.
type StockPage struct {
	Stock      []Stock `json:"stock"`
	NextCursor string  `json:"next_cursor,omitzero"` // absent on the last page
	Behind     uint64  `json:"behind"`               // messages that this view has not seen yet
	Halted     bool    `json:"halted,omitzero"`      // the view stands still until somebody mends it; see mesh view status
}
