package orders

import (
	"slices"

	"github.com/ordermesh/ordermesh/bus/eventstore"
	"github.com/ordermesh/ordermesh/contracts/orders"
)

// placedType is the name under which OrderPlaced is written.
const placedType = "order.placed.v1"

// placedView is an order as it was when it was placed: the same for everybody who
// repeats the request.
func placedView(id string, e orders.Event) orders.Order {
	o := fold(orders.Order{OrderID: id}, e)
	o.Version = 1
	o.History = []orders.Change{{Type: placedType, At: o.PlacedAt, Version: 1, Note: noteOf(o.Acceptance)}}
	return o
}

// viewOf folds what people see of an order out of its history.
func viewOf(id string, history []eventstore.Recorded[orders.Event]) orders.Order {
	o := orders.Order{OrderID: id}
	for _, h := range history {
		o = fold(o, h.Data)
		o.Version = h.Version
		change := orders.Change{Type: h.Type, At: h.At, Version: h.Version}
		if h.Version == 1 {
			change.At, change.Note = o.PlacedAt, noteOf(o.Acceptance)
		}
		o.History = append(o.History, change)
	}
	return o
}

func fold(o orders.Order, e orders.Event) orders.Order {
	switch e := e.(type) {
	case orders.OrderPlaced:
		o.Status = orders.Placed
		o.CustomerID, o.Lines, o.Total, o.PlacedAt = e.CustomerID, e.Lines, e.Total, e.PlacedAt
		o.Charges, o.Acceptance = []orders.Charge{}, e.Acceptance
	case orders.OrderConfirmed:
		o.Status, o.PaymentID = orders.Confirmed, e.PaymentID
	case orders.OrderDispatched:
		o.Status = orders.Dispatched
	case orders.OrderShipped:
		o.Status, o.ShipmentID = orders.Shipped, e.ShipmentID
	case orders.OrderDelivered:
		o.Status = orders.Delivered
	case orders.OrderCancelled:
		o.Status, o.Reason = orders.Cancelled, e.Reason
	case orders.OrderHeld:
		o.Status, o.Hold = orders.OnHold, &orders.Hold{Reason: e.Reason, Until: e.Until}
	case orders.OrderApproved:
		o.Status, o.Hold = orders.Placed, decided(o.Hold, orders.Approved, e.Reason)
	case orders.OrderRejected:
		o.Hold = decided(o.Hold, orders.Rejected, e.Reason)
	case orders.OrderRefundRequested:
		o.Refunds = append(slices.Clip(o.Refunds), orders.OrderRefund{
			RefundID: e.RefundID, Amount: e.Amount, Reason: e.Reason, Status: orders.RefundRequested,
		})
	case orders.OrderRefunded:
		o.Refunded = e.Refunded
		o.Refunds = refundEnded(o.Refunds, e.RefundID, orders.RefundDone, "")
	case orders.OrderRefundFailed:
		o.Refunds = refundEnded(o.Refunds, e.RefundID, orders.RefundFailed, e.Reason)
	}
	return o
}

// decided is a hold with its decision.
func decided(h *orders.Hold, d orders.Decision, note string) *orders.Hold {
	var hold orders.Hold
	if h != nil {
		hold = *h
	}
	hold.Decision, hold.Note = d, note
	return &hold
}

// refundEnded returns the refunds with one of them ended.
func refundEnded(refunds []orders.OrderRefund, id string, status orders.RefundStatus, failure string) []orders.OrderRefund {
	refunds = slices.Clone(refunds)
	for i := range refunds {
		if refunds[i].RefundID == id {
			refunds[i].Status, refunds[i].Failure = status, failure
		}
	}
	return refunds
}
