package viewtest

import (
	"time"

	"github.com/ordermesh/ordermesh/bus/event"
	bus "github.com/ordermesh/ordermesh/bus/view"
	"github.com/ordermesh/ordermesh/contracts/money"
	"github.com/ordermesh/ordermesh/contracts/orders"
	"github.com/ordermesh/ordermesh/services/orders/view"
)

// Order is an order as the world knows it.
type Order struct {
	ID, Customer string
	Status       orders.Status
	Total        money.Amount
	Refunded     int64
	Placed       time.Time
	Lines        []orders.Line
}

// step places an order or takes one on, and returns its id.
func (w *World) step() string {
	w.sequence += 1 + w.random.Uint64N(3) // other entities share the stream
	if len(w.Orders) == 0 || w.random.IntN(3) == 0 {
		return w.place()
	}
	o := w.Orders[w.random.IntN(len(w.Orders))]
	w.takeOn(o)
	return o.ID
}

func (w *World) place() string {
	if w.random.IntN(4) > 0 { // else at the same time as the one before
		w.clock = w.clock.Add(time.Duration(w.random.Int64N(int64(4 * time.Hour))))
	}
	o := &Order{
		ID: w.newID(), Customer: customers()[w.random.IntN(len(customers()))], Status: orders.Placed,
		Placed: w.clock.Truncate(time.Microsecond), Total: money.New(0, w.pick("EUR", "EUR", "USD", "JPY")),
	}
	for range 1 + w.random.IntN(3) {
		price := w.random.Int64N(10_000)
		if w.random.IntN(20) == 0 {
			price = 1 << 60 // a few of these are more than a sum can say
		}
		line := orders.Line{
			SKU: w.pick("TEA", "tea", "POT", "CUP-1", "CUP-10"), Name: "N", Quantity: 1 + w.random.Int64N(5), UnitPrice: money.New(price, o.Total.Currency),
		}
		o.Lines = append(o.Lines, line)
		o.Total.Minor += min(line.Quantity*price, 1<<61)
	}
	w.Orders = append(w.Orders, o)
	w.happens(o, orders.OrderPlaced{CustomerID: o.Customer, Lines: o.Lines, Total: o.Total, PlacedAt: w.clock.In(time.FixedZone("", 3600))})
	return o.ID
}

// takeOn has something happen that may happen to such an order.
func (w *World) takeOn(o *Order) {
	type next struct {
		status orders.Status
		event  orders.Event
	}
	cancel := next{orders.Cancelled, orders.OrderCancelled{Reason: orders.ReasonOutOfStock}}
	choices := map[orders.Status][]next{
		orders.Placed:     {{orders.Confirmed, orders.OrderConfirmed{PaymentID: "p"}}, {orders.OnHold, orders.OrderHeld{Reason: orders.HoldOverLimit}}, cancel},
		orders.OnHold:     {{orders.Placed, orders.OrderApproved{}}, {orders.OnHold, orders.OrderRejected{}}, cancel},
		orders.Confirmed:  {{orders.Dispatched, orders.OrderDispatched{}}, {orders.Dispatched, orders.OrderDispatched{}}, cancel},
		orders.Dispatched: {{orders.Shipped, orders.OrderShipped{ShipmentID: "s"}}},
		orders.Shipped:    {{orders.Delivered, orders.OrderDelivered{}}},
	}[o.Status]
	if len(choices) > 0 {
		n := choices[w.random.IntN(len(choices))]
		o.Status = n.status
		w.happens(o, n.event)
		return
	}
	if o.Status == orders.Delivered {
		w.refund(o)
		return
	}
	w.happens(o, orders.OrderRefundFailed{RefundID: "r"}) // an event that changes nothing but the version
}

func (w *World) refund(o *Order) {
	if w.random.IntN(2) == 0 {
		w.happens(o, orders.OrderRefundRequested{RefundID: "r", Amount: o.Total})
		return
	}
	minor := w.random.Int64N(o.Total.Minor - o.Refunded + 1)
	o.Refunded += minor
	w.happens(o, orders.OrderRefunded{
		RefundID: "r", Amount: money.New(minor, o.Total.Currency), Refunded: money.New(o.Refunded, o.Total.Currency),
	})
}

// happens folds an event into the order's row.
func (w *World) happens(o *Order, e orders.Event) {
	entry := w.rows[o.ID]
	entry.Version++
	row := view.Fold().Apply(entry.Row, event.Event[orders.Event]{
		Entity: "order", ID: o.ID, At: w.clock, Version: entry.Version, Sequence: w.sequence, Data: e,
	})
	w.rows[o.ID] = bus.Entry[view.Row]{Key: o.ID, Version: entry.Version, Row: row}
}
