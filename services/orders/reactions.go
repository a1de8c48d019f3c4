package orders

import (
	"context"
	"errors"
	"strings"
	"time"

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
		if data.Acceptance != nil && data.Acceptance.Outcome == orders.OutcomeReject {
			return event.Done // it was cancelled as it was placed
		}
		return s.startCheckout(ctx, e.ID, data)
	case orders.OrderApproved:
		return heard(s.flows.Signal(ctx, orders.CheckoutFlow, e.ID, decisionSignal, e.EventID, nil))
	case orders.OrderCancelled:
		return s.stopCheckout(ctx, e, data)
	case orders.OrderShipped:
		return s.watchDelivery(ctx, e, data)
	case orders.OrderDelivered:
		if s.unwatched.take(e.ID, time.Now()) {
			return event.Done
		}
		end := resolution{Outcome: outcomeDelivered}
		return heard(s.flows.Signal(ctx, orders.DeliveryFlow, e.ID, orders.ResolvedSignal, e.EventID, end))
	case orders.OrderRefundRequested:
		in := refundInput{OrderID: e.ID, RefundID: data.RefundID, Amount: data.Amount}
		return started(flow.Start(ctx, s.flows, s.defined.refund, data.RefundID, in))
	case orders.OrderHeld, orders.OrderRejected, orders.OrderConfirmed, orders.OrderDispatched,
		orders.OrderRefunded, orders.OrderRefundFailed:
	}
	return event.Done
}

func (s *Service) startCheckout(ctx context.Context, id string, placed orders.OrderPlaced) event.Outcome {
	outcome := started(flow.Start(ctx, s.flows, s.defined.checkout, id, s.cfg.checkoutOf(id, placed)))
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

// justSent is how long a parcel that was due when it was sent has before a flow watches
// over it: its delivery is being noted.
const justSent = 250 * time.Millisecond

// watchDelivery starts watching over a parcel, unless it is delivered by now.
func (s *Service) watchDelivery(ctx context.Context, e event.Event[orders.Event], shipped orders.OrderShipped) event.Outcome {
	o, _, err := s.orders.Peek(ctx, e.ID)
	delivered := err == nil && o.Status == orders.Delivered
	first := e.Attempt == 1 && !shipped.Due.IsZero() && !shipped.Due.After(e.At)
	if first {
		s.unwatched.note(e.ID, time.Now())
	}
	switch {
	case delivered:
		return event.Done
	case first:
		return event.Later(justSent)
	}
	return started(flow.Start(ctx, s.flows, s.defined.delivery, e.ID, s.cfg.deliveryOf(e.ID, shipped, e.At)))
}

// stopCheckout wakes the checkout of an order that somebody has cancelled, whatever it
// waits for: it would find out by itself only with its next command on the order.
func (s *Service) stopCheckout(ctx context.Context, e event.Event[orders.Event], cancelled orders.OrderCancelled) event.Outcome {
	if strings.HasPrefix(e.Command, ownPrefix) || strings.HasPrefix(e.Command, placePrefix) {
		return event.Done
	}
	err := s.flows.Cancel(ctx, orders.CheckoutFlow, e.ID, "the order is cancelled: "+cancelled.Reason)
	failpoint.Hit("orders.checkout_stopped")
	return heard(err)
}

// heard is the outcome of an event of which a flow is told; one that has ended, or has
// not begun and will see for itself, need not be.
func heard(err error) event.Outcome {
	if errors.Is(err, flow.ErrNotFound) || errors.Is(err, flow.ErrEnded) {
		return event.Done
	}
	return event.From(err)
}

// checkoutOf is what the checkout of an order begins with under the settings of now.
func (cfg Config) checkoutOf(id string, e orders.OrderPlaced) checkoutInput {
	now, said := cfg.Settings(), e.Acceptance
	in := checkoutInput{
		OrderID: id, Total: e.Total, Reference: e.PaymentReference, ShipTo: e.ShipTo, PayMS: now.PayWithin.Milliseconds(),
	}
	switch {
	case said != nil && said.Outcome == orders.OutcomeHold:
		in.Hold = &holdInput{Reason: said.Reason, ForMS: now.HoldFor.Milliseconds()}
	case now.HoldOver > 0 && e.Total.Minor > now.HoldOver:
		in.Hold = &holdInput{Reason: orders.HoldOverLimit, ForMS: now.HoldFor.Milliseconds()}
	}
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
