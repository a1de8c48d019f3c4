// Package view is what the catalog keeps of all products together: lists in the order of
// their SKUs.
//
// It is not for prices of orders, which are taken from the product itself. It promises
// that a row is the product as its own fold has it. The view in memory is view.Memory of
// package bus/view; package services/catalog/postgres has the same in a table.
package view

import (
	"github.com/ordermesh/ordermesh/bus/event"
	"github.com/ordermesh/ordermesh/bus/view"
	"github.com/ordermesh/ordermesh/contracts/catalog"
	"github.com/ordermesh/ordermesh/services/catalog/domain"
)

// Row is what the view keeps of a product.
type Row struct {
	SKU     string
	Product domain.Product
}

// The lists of products, each in the order of the SKUs.
const (
	All      = "products"
	Active   = "products/active"
	Inactive = "products/inactive"
)

// Fold says how the events of products become rows and lists.
func Fold() view.Fold[catalog.Event, Row] {
	return view.Fold[catalog.Event, Row]{Apply: apply, Lists: Lists}
}

func apply(r Row, e event.Event[catalog.Event]) Row {
	return Row{SKU: e.ID, Product: domain.Evolve(r.Product, e.Data)}
}

// Lists are the lists that a row is in.
func Lists(r Row) []view.Place {
	list := Inactive
	if r.Product.Active {
		list = Active
	}
	return []view.Place{{List: All, Order: r.SKU}, {List: list, Order: r.SKU}}
}
