// Package view is what the inventory service keeps of the stock of all SKUs together:
// lists in the order of the SKUs, and of what is left to sell.
//
// It is not for deciding whether there is enough, which the stock itself does. It promises
// that a row has the numbers of the stock's own fold, without who holds what. The view in
// memory is view.Memory of package bus/view; package services/inventory/postgres has the
// same in a table.
package view

import (
	"github.com/ordermesh/ordermesh/bus/event"
	"github.com/ordermesh/ordermesh/bus/view"
	"github.com/ordermesh/ordermesh/contracts/inventory"
	"github.com/ordermesh/ordermesh/services/inventory/domain"
)

// Row is what the view keeps of the stock of a SKU.
type Row struct {
	SKU      string
	OnHand   int64
	Reserved int64
}

// Available is what can still be held.
func (r Row) Available() int64 { return r.OnHand - r.Reserved }

// The lists of stock.
const (
	BySKU       = "stock"
	ByAvailable = "available" // the least first; see Left
)

// Left is the place of a number of pieces in the list ByAvailable.
func Left(available int64) string { return view.Ascending(uint64(max(0, available))) }

// Fold says how the events of stock become rows and lists.
func Fold() view.Fold[inventory.StockEvent, Row] {
	return view.Fold[inventory.StockEvent, Row]{Apply: apply, Lists: Lists}
}

func apply(r Row, e event.Event[inventory.StockEvent]) Row {
	s := domain.EvolveStock(domain.Stock{OnHand: r.OnHand, Reserved: r.Reserved}, e.Data)
	return Row{SKU: e.ID, OnHand: s.OnHand, Reserved: s.Reserved}
}

// Lists are the lists that a row is in.
func Lists(r Row) []view.Place {
	return []view.Place{{List: BySKU, Order: r.SKU}, {List: ByAvailable, Order: Left(r.Available())}}
}
