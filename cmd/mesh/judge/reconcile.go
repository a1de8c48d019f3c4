package judge

import (
	"fmt"
	"strings"

	"github.com/ordermesh/ordermesh/contracts/sandbox"
	"github.com/ordermesh/ordermesh/contracts/shipping"
)

// booked holds events to the books, and the books to one charge and one parcel per
// order. It holds at every moment: the firm books first, then the mesh stores.
func (c *court) booked() {
	for id, charges := range c.provider.byOrder {
		c.charged(id, charges)
	}
	for id := range c.provider.refunds {
		if c.provider.settled[id] != sandbox.ChargeCaptured {
			c.provider.record(sandbox.RefundKeyIn(id, 1), "a refund of a captured charge", "the charge is "+orNone(c.provider.settled[id]))
		}
	}
	for id, ch := range c.provider.charges {
		if given := c.provider.given(ch); given > ch.Amount.Minor {
			last := len(c.provider.refunds[id])
			c.provider.record(sandbox.RefundKeyIn(id, last), "refunds of at most "+ch.Amount.String(), number(given))
		}
	}
	for _, pay := range c.payments.payments {
		c.bookedPayment(pay)
	}
	for id, s := range c.shipments.shipments {
		parcel, ok := c.carrier.parcels[id]
		if s.created && (!ok || parcel.TrackingID != s.shipmentID) {
			c.docket.find(checkCarrier, s.finding("parcel "+s.shipmentID+" in the carrier's book", orNone(parcel.TrackingID)))
		}
	}
	for id, parcel := range c.carrier.parcels {
		if o := c.orders.orders[id]; o != nil && !sameLines(parcel.Lines, o.quantities()) {
			c.carrier.record(sandbox.ParcelKeyIn(id), fmt.Sprintf("a parcel of the order's lines %v", o.quantities()), fmt.Sprintf("%v", parcel.Lines))
		}
	}
}

// charged holds the charges of one order to being one, of the order's amount.
func (c *court) charged(id string, charges []*charge) {
	if len(charges) > 1 {
		var keys []string
		for _, ch := range charges {
			keys = append(keys, fmt.Sprintf("%s (%s, %s)", ch.Key, ch.Amount, c.provider.state(ch)))
		}
		c.provider.record(sandbox.ChargeKeyIn(charges[1].Key), "one charge for order "+id, fmt.Sprintf("%d: %s", len(charges), strings.Join(keys, ", ")))
	}
	o := c.orders.orders[id]
	for _, ch := range charges {
		if o != nil && ch.Amount != o.total {
			c.provider.record(sandbox.ChargeKeyIn(ch.Key), "a charge of the order's "+o.total.String(), ch.Amount.String())
		}
	}
}

// bookedPayment holds one payment's events to the provider's book.
func (c *court) bookedPayment(pay *payment) {
	bad := func(expected, is string) { c.docket.find(checkProvider, pay.finding(expected, is)) }
	ch := c.provider.charges[pay.paymentID]
	if pay.declined && pay.paymentID != "" && (ch == nil || ch.Status != sandbox.ChargeDeclined) {
		bad("a declined charge "+pay.paymentID+" in the provider's book", "none")
	}
	if pay.authorized.IsZero() {
		return
	}
	if ch == nil {
		bad("charge "+orNone(pay.paymentID)+" in the provider's book", "none")
		return
	}
	if ch.OrderID != pay.id || ch.Amount != pay.authorized || ch.Status != sandbox.ChargeAuthorized {
		bad(fmt.Sprintf("an authorized charge of %s for order %s in the provider's book", pay.authorized, pay.id),
			fmt.Sprintf("%s is %s, %s for order %s", ch.ChargeID, ch.Status, ch.Amount, ch.OrderID))
	}
	settled := c.provider.settled[pay.paymentID]
	if !pay.captured.IsZero() && settled != sandbox.ChargeCaptured {
		bad("a capture in the provider's book", orNone(settled))
	}
	if pay.voided && settled != sandbox.ChargeVoided {
		bad("a void in the provider's book", orNone(settled))
	}
	if n, given := len(c.provider.refunds[pay.paymentID]), c.provider.given(ch); len(pay.refunds) > n || pay.refunded.Minor > given {
		bad(fmt.Sprintf("%d refunds in the provider's book, %s in all", len(pay.refunds), pay.refunded), fmt.Sprintf("%d, %d in all", n, given))
	}
}

// reconciled holds, at rest, the books to the events: nothing may have happened
// outside that the mesh does not know of.
func (c *court) reconciled() {
	for _, ch := range c.provider.charges {
		pay := c.payments.of(ch.OrderID)
		state := c.provider.state(ch)
		bad := func(expected, is string) { c.provider.record(sandbox.ChargeKeyIn(ch.Key), expected, is) }
		switch {
		case state == chargeOpen:
			bad("no open charge at rest", fmt.Sprintf("%s for order %s, which is %s; the payment is %s", ch.Amount, ch.OrderID, c.orders.status(ch.OrderID), pay.state()))
		case (state == chargeTaken || state == chargeReturned) && (pay.paymentID != ch.ChargeID || pay.captured != ch.Amount):
			bad("a payment that was captured, too", pay.state())
		case pay.refunded.Minor != c.provider.given(ch) || len(pay.refunds) != len(c.provider.refunds[ch.ChargeID]):
			bad(fmt.Sprintf("a payment of which %d was refunded, too", c.provider.given(ch)), fmt.Sprintf("%d refunded, it is %s", pay.refunded.Minor, pay.state()))
		case state == chargeTaken && c.orders.orders[ch.OrderID] == nil:
			bad("an order for the money taken", "none")
		case state == chargeVoided && !pay.voided:
			bad("a payment that was voided, too", pay.state())
		case state == chargeDeclined && !pay.declined && !pay.voided:
			bad("a payment that was declined, too", pay.state())
		}
	}
	for id, parcel := range c.carrier.parcels {
		end, ended := c.carrier.ends[id]
		s := c.shipments.of(id)
		bad := func(expected, is string) { c.carrier.record(sandbox.ParcelKeyIn(id), expected, is) }
		switch {
		case !ended:
			bad("no parcel on its way at rest", "due "+parcel.Due.String())
		case end.Status == sandbox.ParcelDone && s.status != shipping.Delivered:
			bad("a shipment that was delivered, too", orNone(s.status))
		case end.Status == sandbox.ParcelCancelled && s.status != shipping.Cancelled:
			bad("a shipment that was cancelled, too", orNone(s.status))
		}
	}
}
