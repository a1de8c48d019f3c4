package judge

import (
	"fmt"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/contracts/catalog"
	"github.com/ordermesh/ordermesh/contracts/line"
	"github.com/ordermesh/ordermesh/contracts/money"
	"github.com/ordermesh/ordermesh/contracts/orders"
)

// statuses in the order of the report. The empty status is an order whose first
// event is missing.
var statuses = []string{
	string(orders.Placed), string(orders.Confirmed), string(orders.OnHold), string(orders.Dispatched),
	string(orders.Shipped), string(orders.Delivered), string(orders.Cancelled), "",
}

// orderPart folds the stream ORDERS.
type orderPart struct {
	*history
	orders map[string]*order
}

type order struct {
	id         string
	status     orders.Status
	total      money.Amount
	lines      []orders.Line
	paymentID  string
	shipmentID string
	at         map[orders.Status]uint64 // sequence of the event that led to the status
	rejected   bool
	ruling     ruling
	refunds    orderRefunds
}

var orderInfo = orders.Events.Info()

// wayTo says from where each status may be reached.
var wayTo = map[orders.Status][]orders.Status{
	orders.Placed:     {""},
	orders.OnHold:     {orders.Placed},
	orders.Confirmed:  {orders.Placed},
	orders.Dispatched: {orders.Confirmed},
	orders.Shipped:    {orders.Dispatched},
	orders.Delivered:  {orders.Shipped},
	orders.Cancelled:  {orders.Placed, orders.Confirmed, orders.OnHold},
}

func (p *orderPart) hear(m message) {
	p.take(m, []contract.EventsInfo{orderInfo}, func(_ contract.EventsInfo, e event) {
		v, ok := decoded(p.history, orders.Events, e)
		if !ok {
			return
		}
		o := p.orders[e.id]
		if o == nil {
			o = &order{id: e.id, at: map[orders.Status]uint64{}}
			p.orders[e.id] = o
		}
		p.docket.looked(checkOrders, 1)
		p.fold(o, e, v)
	})
}

func (p *orderPart) fold(o *order, e event, v orders.Event) {
	switch v := v.(type) {
	case orders.OrderPlaced:
		p.enter(o, e, orders.Placed)
		o.total, o.lines = v.Total, v.Lines
		p.sum(o, e)
		p.rule(o, e, v)
	case orders.OrderConfirmed:
		p.enter(o, e, orders.Confirmed)
		o.paymentID = v.PaymentID
	case orders.OrderDispatched:
		p.enter(o, e, orders.Dispatched)
	case orders.OrderShipped:
		p.enter(o, e, orders.Shipped)
		o.shipmentID = v.ShipmentID
	case orders.OrderDelivered:
		p.enter(o, e, orders.Delivered)
	case orders.OrderCancelled:
		p.enter(o, e, orders.Cancelled)
		o.ruling.cancelled(e, v)
		if o.rejected && v.Reason != orders.ReasonRejected {
			p.docket.find(checkOrders, e.finding(orderInfo, "cancelled as "+orders.ReasonRejected, v.Reason))
		}
	case orders.OrderHeld, orders.OrderApproved, orders.OrderRejected:
		p.foldHold(o, e, v)
	case orders.OrderRefundRequested, orders.OrderRefunded, orders.OrderRefundFailed:
		p.docket.looked(checkRefunds, 1)
		if wrong := o.refunds.fold(o, v); wrong != "" {
			p.docket.find(checkRefunds, e.finding(orderInfo, wrong, e.Type+" "+string(e.Data)))
		}
	}
}

// foldHold follows an order that is held, once, and lets go on or not.
func (p *orderPart) foldHold(o *order, e event, v orders.Event) {
	expect := func(holds bool, expected string) {
		if !holds {
			p.docket.find(checkOrders, e.finding(orderInfo, expected, "it is "+orNone(o.status)))
		}
	}
	switch v.(type) { //nolint:gochecksumtype // the others are not about holds
	case orders.OrderHeld:
		expect(o.at[orders.OnHold] == 0, "an order that is held once")
		p.enter(o, e, orders.OnHold)
	case orders.OrderApproved:
		expect(o.status == orders.OnHold && !o.rejected, "an order on hold when it is approved")
		o.status = orders.Placed
	case orders.OrderRejected:
		expect(o.status == orders.OnHold && !o.rejected, "an order on hold when it is rejected")
		o.rejected = true
	}
}

func (p *orderPart) enter(o *order, e event, to orders.Status) {
	allowed := false
	for _, from := range wayTo[to] {
		allowed = allowed || o.status == from
	}
	if !allowed {
		p.docket.find(checkOrders, e.finding(orderInfo, fmt.Sprintf("no %s after %s", e.Type, orNone(o.status)), "it is there"))
	}
	o.status = to
	o.at[to] = e.sequence
}

// sum holds the total to the lines.
func (p *orderPart) sum(o *order, e event) {
	var sum money.Amount
	for _, l := range o.lines {
		part, err := l.UnitPrice.Times(l.Quantity)
		if err == nil {
			sum, err = sum.Add(part)
		}
		if err != nil || l.Quantity < 1 || l.UnitPrice.Minor < 0 {
			p.docket.find(checkOrders, e.finding(orderInfo, "lines that can be added up", fmt.Sprintf("%d × %s of %s", l.Quantity, l.UnitPrice, l.SKU)))
			return
		}
	}
	if sum != o.total {
		p.docket.find(checkOrders, e.finding(orderInfo, "total "+sum.String(), o.total.String()))
	}
}

// ended reports whether nothing more will happen to the order.
func (o *order) ended() bool { return o.status == orders.Delivered || o.status == orders.Cancelled }

// finding blames the event that led the order to a status.
func (o *order) finding(s orders.Status, expected, is string) Finding {
	return Finding{Entity: "order " + o.id, Subject: "evt.order." + o.id, Sequence: o.at[s], Expected: expected, Is: is}
}

// quantities are the order's lines without names and prices.
func (o *order) quantities() []line.Line {
	lines := make([]line.Line, len(o.lines))
	for i, l := range o.lines {
		lines[i] = line.Line{SKU: l.SKU, Quantity: l.Quantity}
	}
	return line.Sorted(lines)
}

func orNone[S ~string](s S) string {
	if s == "" {
		return "nothing"
	}
	return string(s)
}

// productPart folds the stream CATALOG into every price that ever was.
type productPart struct {
	*history
	prices map[price]bool
}

type price struct {
	sku    string
	amount money.Amount
}

func (p *productPart) hear(m message) {
	p.take(m, []contract.EventsInfo{catalog.Events.Info()}, func(_ contract.EventsInfo, e event) {
		if v, ok := decoded(p.history, catalog.Events, e); ok {
			if put, ok := v.(catalog.ProductPut); ok {
				p.prices[price{e.id, put.Price}] = true
			}
		}
	})
}

// priced holds the prices of orders to the catalog.
func (c *court) priced() {
	for _, o := range c.orders.orders {
		for _, l := range o.lines {
			c.docket.looked(checkPrices, 1)
			if !c.products.prices[price{l.SKU, l.UnitPrice}] {
				c.docket.find(checkPrices, o.finding(orders.Placed, "a price that the catalog had for "+l.SKU, l.UnitPrice.String()))
			}
		}
	}
}
