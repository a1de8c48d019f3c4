package judge

import (
	"fmt"

	"github.com/ordermesh/ordermesh/contracts/inventory"
	"github.com/ordermesh/ordermesh/contracts/money"
	"github.com/ordermesh/ordermesh/contracts/orders"
	"github.com/ordermesh/ordermesh/contracts/shipping"
)

// backedUp holds what orders say to what the other services have stored. It holds at
// every moment: the effect comes first.
func (c *court) backedUp() {
	for _, o := range c.orders.orders {
		c.docket.looked(checkBackedUp, 1)
		if o.at[orders.Confirmed] > 0 {
			c.confirmed(o)
		}
		if o.at[orders.Dispatched] > 0 {
			c.dispatched(o)
		}
		if s := c.shipments.of(o.id); o.at[orders.Shipped] > 0 && (!s.created || s.shipmentID != o.shipmentID) {
			c.unbacked(o, orders.Shipped, "shipment "+orNone(o.shipmentID)+" created before it is shipped", "shipment "+orNone(s.shipmentID))
		}
		if s := c.shipments.of(o.id); o.at[orders.Delivered] > 0 && s.status != shipping.Delivered {
			c.unbacked(o, orders.Delivered, "a delivered shipment", "the shipment is "+orNone(s.status))
		}
	}
	for id, pay := range c.payments.payments {
		if o := c.orders.orders[id]; o != nil {
			c.asked(pay, o)
		}
	}
}

func (c *court) unbacked(o *order, at orders.Status, expected, is string) {
	c.docket.find(checkBackedUp, o.finding(at, expected, is))
}

func (c *court) confirmed(o *order) {
	pay, r := c.payments.of(o.id), c.inventory.of(o.id)
	if pay.authorized != o.total || pay.paymentID != o.paymentID || o.paymentID == "" {
		c.unbacked(o, orders.Confirmed, fmt.Sprintf("%s authorized as %s before it is confirmed", o.total, orNone(o.paymentID)),
			fmt.Sprintf("%s authorized as %s", pay.authorized, orNone(pay.paymentID)))
	}
	if !r.held {
		c.unbacked(o, orders.Confirmed, "its lines held before it is confirmed", "the reservation is "+orNone(r.status))
	}
}

func (c *court) dispatched(o *order) {
	pay, r := c.payments.of(o.id), c.inventory.of(o.id)
	if pay.captured != o.total {
		c.unbacked(o, orders.Dispatched, o.total.String()+" captured before it is dispatched", fmt.Sprintf("%s captured, the payment is %s", pay.captured, pay.state()))
	}
	if r.status != inventory.Committed && r.status != inventory.Returned {
		c.unbacked(o, orders.Dispatched, "its lines sold before it is dispatched", "the reservation is "+orNone(r.status))
	}
}

// asked holds a payment to its order.
func (c *court) asked(pay *payment, o *order) {
	if !pay.authorized.IsZero() && pay.authorized != o.total {
		c.docket.find(checkPayments, pay.finding("an authorization of the order's "+o.total.String(), pay.authorized.String()))
	}
	if r := c.inventory.of(o.id); (pay.declined || !pay.authorized.IsZero()) && !r.held {
		c.docket.find(checkBackedUp, pay.finding("stock held before the money is asked for", "the reservation is "+orNone(r.status)))
	}
}

// of returns the payment of an order, an empty one if there is none.
func (p *paymentPart) of(id string) *payment {
	if pay := p.payments[id]; pay != nil {
		return pay
	}
	return &payment{id: id}
}

// of returns the reservation of an order, an empty one if there is none.
func (p *inventoryPart) of(id string) *reservation {
	if r := p.reservations[id]; r != nil {
		return r
	}
	return &reservation{id: id}
}

// of returns the shipment of an order, an empty one if there is none.
func (p *shipmentPart) of(id string) *shipment {
	if s := p.shipments[id]; s != nil {
		return s
	}
	return &shipment{id: id}
}

// finished holds, at rest, every order to having ended, or to waiting for a person.
func (c *court) finished() {
	for _, o := range c.orders.orders {
		c.docket.looked(checkFinished, 1)
		switch {
		case o.status == orders.OnHold:
			if !c.flows.waits(checkoutOf(o.id)) {
				c.docket.find(checkFinished, o.finding(o.status, "a checkout that waits for the order's hold to end", "none"))
			}
		case !o.ended():
			c.docket.find(checkFinished, o.finding(o.status, "delivered or cancelled", orNone(o.status)))
		}
		c.refundsEnded(o)
	}
}

// settled holds, at rest, every ended order to having what it paid for, or nothing.
func (c *court) settled() {
	for _, o := range c.orders.orders {
		switch o.status {
		case orders.Delivered:
			c.delivered(o)
		case orders.Cancelled:
			c.cancelled(o)
		case orders.Placed, orders.Confirmed, orders.OnHold, orders.Dispatched, orders.Shipped:
			continue
		}
		c.docket.looked(checkSettled, 1)
	}
}

func (c *court) delivered(o *order) {
	bad := func(expected, is string) { c.docket.find(checkSettled, o.finding(orders.Delivered, expected, is)) }
	pay, r := c.payments.of(o.id), c.inventory.of(o.id)
	if pay.captured != o.total {
		bad(o.total.String()+" captured of a delivered order", fmt.Sprintf("%s captured, the payment is %s", pay.captured, pay.state()))
	}
	if r.status != inventory.Committed {
		bad("its lines sold", "the reservation is "+orNone(r.status))
	}
	if pay.refunded.Minor != o.refunds.made {
		bad(money.New(o.refunds.made, o.total.Currency).String()+" refunded of a delivered order", fmt.Sprintf("%s refunded by payments", pay.refunded))
	}
	if taken := c.provider.taken(o.id); taken != o.total.Minor {
		bad(o.total.String()+" taken in the provider's book", number(taken))
	}
}

func (c *court) cancelled(o *order) {
	bad := func(expected, is string) { c.docket.find(checkSettled, o.finding(orders.Cancelled, expected, is)) }
	pay, r, s := c.payments.of(o.id), c.inventory.of(o.id), c.shipments.of(o.id)
	if pay.net() != 0 {
		bad("nothing paid in the end for a cancelled order", fmt.Sprintf("%s captured, %s refunded", pay.captured, pay.refunded))
	}
	if pay.open() {
		bad("no open authorization", pay.authorized.String()+" authorized as "+pay.paymentID)
	}
	switch r.status {
	case inventory.Open, inventory.Held, inventory.Committed:
		bad("nothing held or sold for a cancelled order", "the reservation is "+string(r.status))
	case inventory.Refused, inventory.Released, inventory.Returned:
	}
	if s.status == shipping.Created || s.status == shipping.Delivered {
		bad("no shipment of a cancelled order", "the shipment is "+string(s.status))
	}
	for _, ch := range c.provider.byOrder[o.id] {
		switch state := c.provider.state(ch); state {
		case chargeOpen, chargeTaken:
			bad("nothing taken or reserved in the provider's book", fmt.Sprintf("charge %s of %s is %s", ch.ChargeID, ch.Amount, state))
		case chargeDeclined, chargeVoided, chargeReturned:
		}
	}
}

// orphans finds, at rest, effects that no order asked for, or not yet.
func (c *court) orphans() {
	for id, pay := range c.payments.payments {
		if c.orders.orders[id] == nil && (pay.net() != 0 || pay.open()) {
			c.docket.find(checkPayments, pay.finding("an order for this payment", "none, and the payment is "+pay.state()))
		}
	}
	for id, o := range c.orders.orders {
		if o.at[orders.Confirmed] > 0 {
			continue
		}
		if pay := c.payments.of(id); !pay.captured.IsZero() {
			c.docket.find(checkBackedUp, pay.finding("a confirmed order before money is captured", "it never was confirmed"))
		}
		if r := c.inventory.of(id); r.status == inventory.Committed || r.status == inventory.Returned {
			c.docket.find(checkBackedUp, r.finding("a confirmed order before stock is sold", "it never was confirmed"))
		}
	}
	for id, s := range c.shipments.shipments {
		if o := c.orders.orders[id]; s.created && (o == nil || o.at[orders.Dispatched] == 0) {
			c.docket.find(checkShipments, s.finding("a dispatched order for this shipment", "the order is "+c.orders.status(id)))
		}
	}
	for id, r := range c.inventory.reservations {
		if c.orders.orders[id] == nil && r.status == inventory.Committed {
			c.docket.find(checkReservations, r.finding("an order for what was sold", "none"))
		}
	}
}
