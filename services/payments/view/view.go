// Package view is what the payments service keeps of all payments together: lists, also by
// status, in the order in which they began.
//
// It is not for decisions about one payment, which are made on its own events. It
// promises that a row is the payment as its own fold has it, but for the single refunds. The view in memory is view.Memory of
// package bus/view; package services/payments/postgres has the same in a table.
package view

import (
	"strings"

	"github.com/ordermesh/ordermesh/bus/event"
	"github.com/ordermesh/ordermesh/bus/view"
	"github.com/ordermesh/ordermesh/contracts/payments"
	"github.com/ordermesh/ordermesh/services/payments/domain"
)

// Row is what the view keeps of a payment.
type Row struct {
	First   uint64         // sequence of its first message: the order of the lists
	Payment domain.Payment // without its refunds one by one
}

const (
	all      = "payments"
	byStatus = "payments/"
)

// List is the list of payments with a status, "" for all.
func List(status payments.Status) string {
	if status == "" {
		return all
	}
	return byStatus + string(status)
}

// ParseList is the inverse of List.
func ParseList(name string) (status payments.Status, ok bool) {
	if name == all {
		return "", true
	}
	text, ok := strings.CutPrefix(name, byStatus)
	return payments.Status(text), ok
}

// Fold says how the events of payments become rows and lists.
func Fold() view.Fold[payments.Event, Row] {
	return view.Fold[payments.Event, Row]{Apply: apply, Lists: Lists}
}

func apply(r Row, e event.Event[payments.Event]) Row {
	if r.First == 0 {
		r.First = e.Sequence
	}
	p := domain.Evolve(r.Payment, e.Data)
	p.Refunds = nil
	r.Payment = p
	return r
}

// Lists are the lists that a row is in.
func Lists(r Row) []view.Place {
	order := view.Ascending(r.First)
	return []view.Place{{List: List(""), Order: order}, {List: List(r.Payment.Status), Order: order}}
}
