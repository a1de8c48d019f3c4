// Package domain decides what may happen to the stock of a SKU and to the
// reservation of an order. It is pure: no clock, no random numbers, no input or
// output.
//
// The two entities work together; the protocol between them is in the package above.
package domain

import (
	"slices"

	"github.com/ordermesh/ordermesh/contracts/inventory"
)

// StockSchema is the number of Stock's layout as a snapshot.
const StockSchema = 2

// Bounds of a stock's state.
const (
	MaxHolds  = 4096              // orders that hold one SKU at the same time
	MaxClosed = 64                // closed orders that are remembered
	MaxOnHand = 1_000_000_000_000 // far from the edge of the number
)

// Stock is what decisions need of one SKU's stock. Invariant: 0 ≤ Reserved ≤ OnHand,
// and Reserved is the sum of Holds.
type Stock struct {
	OnHand   int64  `json:"n,omitzero"`
	Reserved int64  `json:"r,omitzero"`
	Holds    Holds  `json:"h,omitzero"`
	Closed   []Mark `json:"c,omitzero"` // the latest closed orders, oldest first
}

// Mark remembers how an order was closed: a letter and the order id. The latest
// marks refuse a late hold at once; for older ones the reservation does.
type Mark string

// The letters of marks.
const (
	released  = 'r'
	sold      = 's'
	restocked = 'b'
)

func mark(how byte, orderID string) Mark { return Mark(string(how) + orderID) }

func (m Mark) order() string { return string(m[1:]) }

// Available is what can still be held.
func (s Stock) Available() int64 { return s.OnHand - s.Reserved }

// closed returns how the order was closed, or 0 if that is not known (any more).
func (s Stock) closed(orderID string) byte {
	for _, m := range slices.Backward(s.Closed) {
		if m.order() == orderID {
			return m[0]
		}
	}
	return 0
}

// EvolveStock returns the stock after an event.
func EvolveStock(s Stock, e inventory.StockEvent) Stock {
	switch e := e.(type) {
	case inventory.StockAdjusted:
		s.OnHand += e.Delta
	case inventory.StockHeld:
		s.Reserved += e.Quantity
		s.Holds = s.Holds.with(Hold{OrderID: e.OrderID, Quantity: e.Quantity})
	case inventory.StockHoldReleased:
		s.Holds = s.Holds.without(e.OrderID)
		s = s.close(released, e.OrderID)
		s.Reserved -= e.Quantity
	case inventory.StockSold:
		s.Holds = s.Holds.without(e.OrderID)
		s = s.close(sold, e.OrderID)
		s.Reserved -= e.Quantity
		s.OnHand -= e.Quantity
	case inventory.StockRestocked:
		s = s.close(restocked, e.OrderID)
		s.OnHand += e.Quantity
	}
	return s
}

// close remembers how the order was closed and forgets the oldest if there are too
// many.
func (s Stock) close(how byte, orderID string) Stock {
	kept := make([]Mark, 0, len(s.Closed)+1)
	for _, m := range s.Closed {
		if m.order() != orderID {
			kept = append(kept, m)
		}
	}
	kept = append(kept, mark(how, orderID))
	s.Closed = kept[max(0, len(kept)-MaxClosed):]
	return s
}
