package view

import (
	"slices"
	"strings"
	"time"

	"github.com/ordermesh/ordermesh/contracts/money"
	"github.com/ordermesh/ordermesh/contracts/orders"
)

// Summary is what a customer has ordered so far.
type Summary struct {
	Orders    int64
	Cancelled int64
	Delivered int64
	Spent     []money.Amount // of captured orders, less what was given back; by currency, in its order
	First     time.Time      // when the first of them was placed
}

// SpentIn is what was spent in one currency, in minor units. A sum that is larger than
// the number stops there.
func (s Summary) SpentIn(currency string) int64 {
	for _, a := range s.Spent {
		if a.Currency == currency {
			return a.Minor
		}
	}
	return 0
}

// history is a Summary that rows come to and go from.
type history struct {
	orders, cancelled, delivered int64
	spent                        []spent
}

type spent struct {
	currency string
	captured sum
	refunded sum
}

// count adds a row, or takes it away again with by = -1.
func (h *history) count(r Row, by int64) {
	h.orders += by
	switch r.Status { //nolint:exhaustive // others are not counted apart
	case orders.Cancelled:
		h.cancelled += by
	case orders.Delivered:
		h.delivered += by
	}
	if !r.Captured() {
		return
	}
	i := slices.IndexFunc(h.spent, func(s spent) bool { return s.currency == r.Total.Currency })
	if i < 0 {
		h.spent = append(h.spent, spent{currency: r.Total.Currency})
		i = len(h.spent) - 1
	}
	s := &h.spent[i]
	if by > 0 {
		s.captured.add(r.Total.Minor)
		s.refunded.add(r.Refunded)
	} else {
		s.captured.sub(r.Total.Minor)
		s.refunded.sub(r.Refunded)
	}
}

func (h *history) summary(first time.Time) Summary {
	s := Summary{Orders: h.orders, Cancelled: h.cancelled, Delivered: h.delivered, First: first}
	for _, c := range h.spent {
		if c.captured != (sum{}) {
			s.Spent = append(s.Spent, money.New(c.captured.value()-c.refunded.value(), c.currency))
		}
	}
	slices.SortFunc(s.Spent, func(a, b money.Amount) int { return strings.Compare(a.Currency, b.Currency) })
	return s
}
