// Package view is what the orders service keeps of all orders together: lists of them,
// what a customer has ordered so far, and the reports that a business asks for.
//
// It is not for decisions about one order, which are made on its own events. It promises
// that a row says the same of an order as the order's own fold does, and that a report
// is taken at one moment: each order counts once, with the status that it had then.
//
// The view in memory is [Memory]; package services/orders/postgres has the same in
// tables. Both pass the suite in viewtest.
package view

import (
	"context"
	"strings"
	"time"

	"github.com/ordermesh/ordermesh/bus/event"
	"github.com/ordermesh/ordermesh/bus/view"
	"github.com/ordermesh/ordermesh/contracts/money"
	"github.com/ordermesh/ordermesh/contracts/orders"
	"github.com/ordermesh/ordermesh/services/orders/domain"
)

// Row is what the view keeps of an order. Lines are never changed in place.
type Row struct {
	ID       string
	Customer string
	Status   orders.Status
	Total    money.Amount
	Refunded int64     // given back of the total, in its currency
	Placed   time.Time // in UTC, to the microsecond: as exact as every store is
	Lines    []Line
}

// Line is a line of an order; the price is in the order's currency.
type Line struct {
	SKU      string `json:"sku"`
	Quantity int64  `json:"quantity"`
	Price    int64  `json:"price"`
}

// Captured reports whether the order's money was taken: it is, from dispatch on.
func (r Row) Captured() bool {
	switch r.Status {
	case orders.Dispatched, orders.Shipped, orders.Delivered:
		return true
	case orders.Placed, orders.Confirmed, orders.OnHold, orders.Cancelled:
	}
	return false
}

// Open reports whether more is to come of the order.
func (r Row) Open() bool { return r.Status != orders.Delivered && r.Status != orders.Cancelled }

// Store keeps the rows and answers questions over many of them.
type Store interface {
	view.Store[Row]
	// Report answers a report, taken at one moment. Its Behind is not filled in.
	Report(ctx context.Context, q Question) (orders.Figures, error)
	// Customer sums up a customer's orders; one that has none is the zero value.
	Customer(ctx context.Context, id string) (Summary, error)
}

// Fold says how the events of orders become rows and lists.
func Fold() view.Fold[orders.Event, Row] {
	return view.Fold[orders.Event, Row]{Apply: apply, Lists: Lists}
}

func apply(r Row, e event.Event[orders.Event]) Row {
	o := domain.Evolve(domain.Order{Status: r.Status, CustomerID: r.Customer, Total: r.Total, Refunded: r.Refunded}, e.Data)
	r.ID, r.Customer, r.Status, r.Total, r.Refunded = e.ID, o.CustomerID, o.Status, o.Total, o.Refunded
	if placed, ok := e.Data.(orders.OrderPlaced); ok {
		r.Placed = placed.PlacedAt
		r.Lines = make([]Line, len(placed.Lines))
		for i, l := range placed.Lines {
			r.Lines[i] = Line{SKU: l.SKU, Quantity: l.Quantity, Price: l.UnitPrice.Minor}
		}
	}
	if r.Placed.IsZero() { // its first event was left out: it must stand somewhere
		r.Placed = e.At
	}
	r.Placed = r.Placed.UTC().Truncate(time.Microsecond)
	return r
}

// List names a list of orders: all, or those of a customer, or with a status, or both,
// in the order in which they were placed; or, for a search, in the order of their ids.
type List struct {
	ByID     bool // and with no status
	Customer string
	Status   orders.Status
}

const (
	byTime = "placed"
	byID   = "ids"
)

// Name is the list's name in a view.Query.
func (l List) Name() string {
	first := byTime
	if l.ByID {
		first = byID
	}
	return first + "/" + l.Customer + "/" + string(l.Status)
}

// ParseList is the inverse of Name.
func ParseList(name string) (List, bool) {
	part := strings.Split(name, "/")
	if len(part) != 3 || (part[0] != byTime && part[0] != byID) {
		return List{}, false
	}
	return List{ByID: part[0] == byID, Customer: part[1], Status: orders.Status(part[2])}, true
}

// Lists are the lists that a row is in.
func Lists(r Row) []view.Place {
	at := view.Moment(r.Placed)
	places := []view.Place{
		{List: List{}.Name(), Order: at},
		{List: List{Status: r.Status}.Name(), Order: at},
		{List: List{ByID: true}.Name(), Order: r.ID},
	}
	if r.Customer == "" { // its first event was left out
		return places
	}
	return append(places,
		view.Place{List: List{Customer: r.Customer}.Name(), Order: at},
		view.Place{List: List{Customer: r.Customer, Status: r.Status}.Name(), Order: at},
		view.Place{List: List{ByID: true, Customer: r.Customer}.Name(), Order: r.ID})
}
