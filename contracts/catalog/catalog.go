// Package catalog is what the catalog service says: products with their names and
// prices. Stock is inventory's affair.
//
// Prices in orders come from here and from nowhere else.
package catalog

import (
	"strconv"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/contracts/money"
	"github.com/ordermesh/ordermesh/contracts/page"
	"github.com/ordermesh/ordermesh/contracts/text"
)

// The methods of the catalog service.
var (
	Put = contract.NewMethod[PutProduct, Product]("catalog", "put", contract.Idempotent(),
		contract.Doc("creates a product or replaces its name, price and whether it is sold"))
	Get = contract.NewMethod[GetProduct, Product]("catalog", "get", contract.Read(), contract.HTTP("GET /api/v1/products/{sku}"),
		contract.Doc("answers one product as it is now, or was a moment ago"))
	Find = contract.NewMethod[FindProducts, FoundProducts]("catalog", "find", contract.Read(),
		contract.Doc("answers several products, in the order of the request; what the catalog does not have is left out"))
	List = contract.NewMethod[ListProducts, Products]("catalog", "list", contract.Lists(), contract.HTTP("GET /api/v1/products"),
		contract.Doc("lists products in the order of their SKUs"))
)

// PutProduct creates or replaces a product.
type PutProduct struct {
	SKU    string      `json:"sku"`
	Name   string      `json:"name"`
	Price  money.Input `json:"price"`
	Active *bool       `json:"active,omitzero"` // whether it can be ordered; true if absent
}

// Validate refuses a malformed product and a price that makes no sense.
func (r PutProduct) Validate() error {
	if err := contract.CheckID("/sku", r.SKU); err != nil {
		return err
	}
	if err := text.Required("/name", r.Name); err != nil {
		return err
	}
	return r.Price.Check("/price")
}

// GetProduct asks for one product. The answer may be one that an instance remembers.
// Every instance hears of every change, so that a product is answered as it was a few
// milliseconds ago at the earliest, and at worst 50 ms; an instance that does not hear of
// changes reads the product itself. Only while that fails, too, may the answer be older,
// up to catalog.read_stale, unless it is known to be outdated.
//
// With MinVersion the answer waits until the product has come that far, or the caller's
// time is nearly over: who has put a product names the version that was answered. With
// Current the answer is rather an error than one that may have been overtaken.
type GetProduct struct {
	SKU        string `json:"sku"`
	MinVersion uint64 `json:"min_version,omitzero"`
	Current    bool   `json:"current,omitzero"`
}

// Validate refuses a malformed SKU and a version that no product reaches.
func (r GetProduct) Validate() error {
	if err := page.CheckVersion("/min_version", r.MinVersion); err != nil {
		return err
	}
	return contract.CheckID("/sku", r.SKU)
}

// MaxFound is how many products one request may ask for by their SKUs.
const MaxFound = 100

// FindProducts asks for several products, each as [GetProduct] does with Current: prices of
// orders are asked for in this way, so that an order that is placed more than 50 ms after
// a change of a price was acknowledged pays the new price.
type FindProducts struct {
	SKUs []string `json:"skus"`
}

// Validate refuses no SKU, too many and malformed ones.
func (r FindProducts) Validate() error {
	if len(r.SKUs) == 0 || len(r.SKUs) > MaxFound {
		return contract.ErrInvalid.At("/skus").Sayf("name 1 to %d SKUs", MaxFound)
	}
	for i, sku := range r.SKUs {
		if err := contract.CheckID("/skus/"+strconv.Itoa(i), sku); err != nil {
			return err
		}
	}
	return nil
}

// FoundProducts are those of the wanted products that there are.
type FoundProducts struct {
	Products []Product `json:"products"`
}

// ListProducts asks for a page of products.
type ListProducts struct {
	Active    *bool          `json:"active,omitzero"`     // those that can be ordered, or those that cannot; all if absent
	SKUPrefix string         `json:"sku_prefix,omitzero"` // those whose SKU begins so
	Reflects  *page.Reflects `json:"reflects,omitzero"`   // a product that the page must have seen
	Limit     int            `json:"limit,omitzero"`
	Cursor    string         `json:"cursor,omitzero"`
}

// Validate refuses malformed filters and pages.
func (r ListProducts) Validate() error {
	if err := page.CheckPrefix("/sku_prefix", r.SKUPrefix); err != nil {
		return err
	}
	if err := r.Reflects.Check("/reflects"); err != nil {
		return err
	}
	return page.Check(r.Limit, r.Cursor)
}

// Product is a product as it is now.
type Product struct {
	SKU     string       `json:"sku"`
	Name    string       `json:"name"`
	Price   money.Amount `json:"price"`
	Active  bool         `json:"active"`
	Version uint64       `json:"version"`
}

// Products is one page of products.
type Products struct {
	Products   []Product `json:"products"`
	NextCursor string    `json:"next_cursor,omitzero"` // absent on the last page
	Behind     uint64    `json:"behind"`               // messages that this view has not seen yet
	Halted     bool      `json:"halted,omitzero"`      // the view stands still until somebody mends it; see mesh view status
}
