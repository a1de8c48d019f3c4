// Package view is what the shipping service keeps of all shipments together: lists, also by
// status, in the order in which they began.
//
// It is not for decisions about one shipment, which are made on its own events. It
// promises that a row is the shipment as its own fold has it. The view in memory is view.Memory of
// package bus/view; package services/shipping/postgres has the same in a table.
package view

import (
	"strings"
	"time"

	"github.com/ordermesh/ordermesh/bus/event"
	"github.com/ordermesh/ordermesh/bus/view"
	"github.com/ordermesh/ordermesh/contracts/shipping"
	"github.com/ordermesh/ordermesh/services/shipping/domain"
)

// Row is what the view keeps of a shipment.
type Row struct {
	First    uint64          // sequence of its first message: the order of the lists
	Shipment domain.Shipment // due to the microsecond: as exact as every store is
}

const (
	all      = "shipments"
	byStatus = "shipments/"
)

// List is the list of shipments with a status, "" for all.
func List(status shipping.Status) string {
	if status == "" {
		return all
	}
	return byStatus + string(status)
}

// ParseList is the inverse of List.
func ParseList(name string) (status shipping.Status, ok bool) {
	if name == all {
		return "", true
	}
	text, ok := strings.CutPrefix(name, byStatus)
	return shipping.Status(text), ok
}

// Fold says how the events of shipments become rows and lists.
func Fold() view.Fold[shipping.Event, Row] {
	return view.Fold[shipping.Event, Row]{Apply: apply, Lists: Lists}
}

func apply(r Row, e event.Event[shipping.Event]) Row {
	if r.First == 0 {
		r.First = e.Sequence
	}
	r.Shipment = domain.Evolve(r.Shipment, e.Data)
	r.Shipment.Due = r.Shipment.Due.UTC().Truncate(time.Microsecond)
	return r
}

// Lists are the lists that a row is in.
func Lists(r Row) []view.Place {
	order := view.Ascending(r.First)
	return []view.Place{{List: List(""), Order: order}, {List: List(r.Shipment.Status), Order: order}}
}
