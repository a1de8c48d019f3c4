package domain

import (
	"iter"
	"slices"
	"sort"
	"strings"
)

// Hold is what one order holds.
type Hold struct {
	OrderID  string `json:"o"`
	Quantity int64  `json:"q"`
}

// Holds are what orders hold of one SKU, by order id, in runs of a bounded length. A
// state is never changed in place, and thousands of orders may hold a SKU that
// everybody wants: a change copies one run and the list of runs, not all of it.
type Holds [][]Hold

// maxRun is how long a run may become before it is cut in two. None is empty.
const maxRun = 64

// place is where a hold is, or would be.
type place struct{ run, at int }

// find returns where the order's hold is, or would be.
func (h Holds) find(orderID string) (place, bool) {
	run := sort.Search(len(h), func(i int) bool { return h[i][len(h[i])-1].OrderID >= orderID })
	if run == len(h) {
		if run == 0 {
			return place{}, false
		}
		return place{run - 1, len(h[run-1])}, false
	}
	at, ok := slices.BinarySearchFunc(h[run], orderID, func(x Hold, id string) int { return strings.Compare(x.OrderID, id) })
	return place{run, at}, ok
}

// get returns the order's hold.
func (h Holds) get(orderID string) (Hold, bool) {
	p, ok := h.find(orderID)
	if !ok {
		return Hold{}, false
	}
	return h[p.run][p.at], true
}

// with returns the holds and one more, of an order that has none.
func (h Holds) with(one Hold) Holds {
	if len(h) == 0 {
		return Holds{{one}}
	}
	p, _ := h.find(one.OrderID)
	run := slices.Concat(h[p.run][:p.at], []Hold{one}, h[p.run][p.at:])
	if len(run) <= maxRun {
		return h.replaced(p.run, run)
	}
	return h.replaced(p.run, run[:maxRun/2:maxRun/2], run[maxRun/2:])
}

// without returns the holds without the order's.
func (h Holds) without(orderID string) Holds {
	p, ok := h.find(orderID)
	if !ok {
		return h
	}
	if len(h[p.run]) == 1 {
		return h.replaced(p.run)
	}
	return h.replaced(p.run, slices.Concat(h[p.run][:p.at], h[p.run][p.at+1:]))
}

// replaced returns the holds with other runs in the place of one.
func (h Holds) replaced(run int, by ...[]Hold) Holds {
	return slices.Concat(h[:run], by, h[run+1:])
}

// Len counts the orders that hold something.
func (h Holds) Len() int {
	n := 0
	for _, run := range h {
		n += len(run)
	}
	return n
}

// All goes through the holds by order id.
func (h Holds) All() iter.Seq[Hold] {
	return func(yield func(Hold) bool) {
		for _, run := range h {
			for _, one := range run {
				if !yield(one) {
					return
				}
			}
		}
	}
}
