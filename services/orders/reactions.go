package orders

import (
	"context"
	"errors"

	"github.com/ordermesh/ordermesh/bus/event"
	"github.com/ordermesh/ordermesh/bus/failpoint"
	"github.com/ordermesh/ordermesh/bus/flow"
	"github.com/ordermesh/ordermesh/contracts/line"
	"github.com/ordermesh/ordermesh/contracts/orders"
	"github.com/ordermesh/ordermesh/contracts/shipping"
	"github.com/ordermesh/ordermesh/services/orders/domain"
)

// follow does what an event of an order asks for: each flow is started under an id that
// follows from the event, so it is started once however often the event comes.
func (s *Service) follow(ctx context.Context, e event.Event[orders.Event]) event.Outcome {
	switch data := e.Data.(type) {
	case orders.OrderPlaced:
		return s.startCheckout(ctx, e.ID, data)
	case orders.OrderRefundRequested:
		in := refundInput{OrderID: e.ID, RefundID: data.RefundID, Amount: data.Amount}
		return started(flow.Start(ctx, s.flows, s.refunds, data.RefundID, in))
	case orders.OrderHeld, orders.OrderApproved, orders.OrderRejected, orders.OrderConfirmed, orders.OrderDispatched,
		orders.OrderShipped, orders.OrderDelivered, orders.OrderCancelled, orders.OrderRefunded, orders.OrderRefundFailed:
	}
	return event.Done
}

func (s *Service) startCheckout(ctx context.Context, id string, placed orders.OrderPlaced) event.Outcome {
	outcome := started(flow.Start(ctx, s.flows, s.checkout, id, inputOf(id, placed)))
	failpoint.Hit("orders.checkout_started")
	return outcome
}

// started is the outcome of an event that starts a flow.
func started[Out any](_ *flow.Handle[Out], err error) event.Outcome {
	if errors.Is(err, flow.ErrOtherInput) {
		return event.Done // an older or newer version of this service has started it
	}
	return event.From(err)
}

func inputOf(id string, e orders.OrderPlaced) checkoutInput {
	in := checkoutInput{OrderID: id, Total: e.Total, Reference: e.PaymentReference, ShipTo: e.ShipTo}
	for _, l := range e.Lines {
		in.Lines = append(in.Lines, line.Line{SKU: l.SKU, Quantity: l.Quantity})
	}
	return in
}

// noteDelivery tells the order that the carrier has delivered it.
func (s *Service) noteDelivery(ctx context.Context, e event.Event[shipping.Event]) event.Outcome {
	delivered, ok := e.Data.(shipping.ShipmentDelivered)
	if !ok {
		return event.Done
	}
	_, _, err := s.orders.Do(ctx, e.ID, e.EventID, domain.Deliver{ShipmentID: delivered.ShipmentID})
	failpoint.Hit("orders.delivered")
	return event.From(err)
}
