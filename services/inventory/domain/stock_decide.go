package domain

import (
	"errors"
	"time"

	"github.com/ordermesh/ordermesh/contracts/inventory"
	"github.com/ordermesh/ordermesh/contracts/line"
)

// ErrForgotten says that the stock does not remember any more whether it was sold to
// an order: the history has to be asked.
var ErrForgotten = errors.New("the stock does not remember this order")

// StockCommand is a command on the stock of one SKU.
//
//sumtype:decl
type StockCommand interface{ stockCommand() }

// Adjust adds to the stock or takes from it.
type Adjust struct {
	Delta  int64
	Reason string
}

// Take holds a quantity for an order.
type Take struct {
	OrderID  string
	Quantity int64
}

// Release gives back what an order holds. With Mark it also refuses a hold that
// comes later, if nothing is held.
type Release struct {
	OrderID string
	Mark    bool
}

// Sell turns what an order holds into what it was sold. Only a reservation whose
// every line was held is ever sold, so where nothing is held it was sold already.
type Sell struct{ OrderID string }

// Restock puts back on the shelf what was sold to an order, or gives back what it
// still holds. Sold says that the history was asked: it was sold and not put back.
type Restock struct {
	OrderID  string
	Quantity int64
	Sold     bool
}

func (Adjust) stockCommand()  {}
func (Take) stockCommand()    {}
func (Release) stockCommand() {}
func (Sell) stockCommand()    {}
func (Restock) stockCommand() {}

// DecideStock returns the events of a command, nothing if there is nothing to do, or
// the reason why not.
func DecideStock(s Stock, c StockCommand) ([]inventory.StockEvent, error) {
	switch c := c.(type) {
	case Adjust:
		return s.adjust(c)
	case Take:
		return s.take(c)
	case Release:
		return s.release(c), nil
	case Sell:
		if h, ok := s.Holds.get(c.OrderID); ok {
			return []inventory.StockEvent{inventory.StockSold(h)}, nil
		}
		return nil, nil
	case Restock:
		return s.restock(c)
	}
	return nil, nil
}

func (s Stock) adjust(c Adjust) ([]inventory.StockEvent, error) {
	switch after := s.OnHand + c.Delta; {
	case after < s.Reserved:
		return nil, inventory.ErrBelow.At("/delta")
	case after > MaxOnHand:
		return nil, inventory.ErrTooMuch.At("/delta")
	}
	return []inventory.StockEvent{inventory.StockAdjusted(c)}, nil
}

func (s Stock) take(c Take) ([]inventory.StockEvent, error) {
	if h, ok := s.Holds.get(c.OrderID); ok {
		if h.Quantity != c.Quantity {
			return nil, inventory.ErrDiffers
		}
		return nil, nil
	}
	switch {
	case c.Quantity < 1:
		return nil, line.ErrQuantity
	case s.closed(c.OrderID) != 0:
		return nil, inventory.ErrClosed
	case s.Available() < c.Quantity:
		return nil, inventory.ErrShort
	case s.Holds.Len() >= MaxHolds:
		return nil, inventory.ErrBusy.After(time.Second)
	}
	return []inventory.StockEvent{inventory.StockHeld(c)}, nil
}

func (s Stock) release(c Release) []inventory.StockEvent {
	if h, ok := s.Holds.get(c.OrderID); ok {
		return []inventory.StockEvent{inventory.StockHoldReleased(h)}
	}
	if c.Mark && s.closed(c.OrderID) == 0 {
		return []inventory.StockEvent{inventory.StockHoldReleased{OrderID: c.OrderID}}
	}
	return nil
}

func (s Stock) restock(c Restock) ([]inventory.StockEvent, error) {
	if h, ok := s.Holds.get(c.OrderID); ok {
		return []inventory.StockEvent{inventory.StockHoldReleased(h)}, nil
	}
	how := s.closed(c.OrderID)
	switch {
	case how == released || how == restocked:
		return nil, nil
	case how == sold || c.Sold:
		return []inventory.StockEvent{inventory.StockRestocked{OrderID: c.OrderID, Quantity: c.Quantity}}, nil
	}
	return nil, ErrForgotten
}
