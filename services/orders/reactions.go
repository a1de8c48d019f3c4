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

// startCheckout starts the checkout of an order that was placed. Its id is the
// order's, so it is started once however often the event comes.
func (s *Service) startCheckout(ctx context.Context, e event.Event[orders.Event]) event.Outcome {
	placed, ok := e.Data.(orders.OrderPlaced)
	if !ok {
		return event.Done
	}
	_, err := flow.Start(ctx, s.flows, s.checkout, e.ID, inputOf(e.ID, placed))
	failpoint.Hit("orders.checkout_started")
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
