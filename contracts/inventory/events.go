package inventory

import (
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/contracts/line"
)

// StockEvent is an event of the stock of one SKU. With on_hand and reserved
// starting at 0, each event says completely what it changes:
//
//	adjusted       on_hand += delta
//	held           reserved += quantity
//	hold_released  reserved -= quantity
//	sold           reserved -= quantity, on_hand -= quantity
//	restocked      on_hand += quantity
//
//sumtype:decl
type StockEvent interface{ stockEvent() }

// StockAdjusted says that stock came or went for a reason outside orders.
type StockAdjusted struct {
	Delta  int64  `json:"delta"`
	Reason string `json:"reason"`
}

// StockHeld says that a quantity is held for an order.
type StockHeld struct {
	OrderID  string `json:"order_id"`
	Quantity int64  `json:"quantity"`
}

// StockHoldReleased says that nothing is held for the order any more. With
// quantity 0 nothing was held: the event is a mark that refuses a late hold.
type StockHoldReleased struct {
	OrderID  string `json:"order_id"`
	Quantity int64  `json:"quantity"`
}

// StockSold says that what was held for an order has left the shelf.
type StockSold struct {
	OrderID  string `json:"order_id"`
	Quantity int64  `json:"quantity"`
}

// StockRestocked says that what was sold to an order is back on the shelf.
type StockRestocked struct {
	OrderID  string `json:"order_id"`
	Quantity int64  `json:"quantity"`
}

func (StockAdjusted) stockEvent()     {}
func (StockHeld) stockEvent()         {}
func (StockHoldReleased) stockEvent() {}
func (StockSold) stockEvent()         {}
func (StockRestocked) stockEvent()    {}

// StockEvents are the events of the entity "stock", whose id is the SKU.
var StockEvents = contract.NewEvents[StockEvent]("inventory", "INVENTORY", "stock",
	contract.Type[StockEvent, StockAdjusted]("stock.adjusted.v1"),
	contract.Type[StockEvent, StockHeld]("stock.held.v1"),
	contract.Type[StockEvent, StockHoldReleased]("stock.hold_released.v1"),
	contract.Type[StockEvent, StockSold]("stock.sold.v1"),
	contract.Type[StockEvent, StockRestocked]("stock.restocked.v1"),
)

// ReservationEvent is an event of the reservation of one order. What closes a
// reservation is written before the stock follows, so that two callers can never
// close it in two ways.
//
//sumtype:decl
type ReservationEvent interface{ reservationEvent() }

// ReservationOpened says which lines are about to be held.
type ReservationOpened struct {
	Lines []line.Line `json:"lines"`
}

// ReservationHeld says that every line is held.
type ReservationHeld struct{}

// ReservationRefused says that a SKU was short and nothing stays held.
type ReservationRefused struct {
	Short string `json:"short"` // the SKU
}

// ReservationReleased says that nothing is held for the order any more, or ever.
type ReservationReleased struct{}

// ReservationCommitted says that every line is sold.
type ReservationCommitted struct{}

// ReservationReturned says that every line, sold before, is back on the shelf.
type ReservationReturned struct{}

func (ReservationOpened) reservationEvent()    {}
func (ReservationHeld) reservationEvent()      {}
func (ReservationRefused) reservationEvent()   {}
func (ReservationReleased) reservationEvent()  {}
func (ReservationCommitted) reservationEvent() {}
func (ReservationReturned) reservationEvent()  {}

// ReservationEvents are the events of the entity "reservation", whose id is the
// order's.
var ReservationEvents = contract.NewEvents[ReservationEvent]("inventory", "INVENTORY", "reservation",
	contract.Type[ReservationEvent, ReservationOpened]("reservation.opened.v1"),
	contract.Type[ReservationEvent, ReservationHeld]("reservation.held.v1"),
	contract.Type[ReservationEvent, ReservationRefused]("reservation.refused.v1"),
	contract.Type[ReservationEvent, ReservationReleased]("reservation.released.v1"),
	contract.Type[ReservationEvent, ReservationCommitted]("reservation.committed.v1"),
	contract.Type[ReservationEvent, ReservationReturned]("reservation.returned.v1"),
)
