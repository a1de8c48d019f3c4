package orders

import (
	"context"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/telemetry"
	"github.com/ordermesh/ordermesh/contracts/idem"
	"github.com/ordermesh/ordermesh/contracts/money"
	"github.com/ordermesh/ordermesh/contracts/orders"
	"github.com/ordermesh/ordermesh/services/orders/domain"
)

// cancel cancels an order for the customer, or for whoever may act for everybody. One that
// is not at the caller's version any more is left to the decision, which knows a command
// that is repeated.
func (s *Service) cancel(ctx context.Context, req orders.CancelOrder) (orders.Order, error) {
	if telemetry.ActorFrom(ctx).For != "" {
		o, version, err := s.orders.Get(ctx, req.OrderID)
		if err != nil {
			return orders.Order{}, err
		}
		if version == 0 || foreign(ctx, o.CustomerID) {
			return orders.Order{}, orders.ErrUnknown
		}
	}
	c := domain.Cancel{Reason: req.Reason}
	if req.IfVersion > 0 {
		o, version, err := s.orders.Get(ctx, req.OrderID)
		if err != nil {
			return orders.Order{}, err
		}
		c.Only = &domain.Seen{}
		if version == req.IfVersion {
			*c.Only = domain.Seen{Status: o.Status, Held: o.Held}
		}
	}
	return s.command(ctx, req.OrderID, commandID(ctx, orders.Cancel.Info(), req.OrderID), c)
}

// approve lets a held order go on; its checkout is woken by the event.
func (s *Service) approve(ctx context.Context, req orders.DecideOrder) (orders.Order, error) {
	return s.staffCommand(ctx, req.OrderID, commandID(ctx, orders.Approve.Info(), req.OrderID), domain.Approve{Reason: req.Reason})
}

// reject cancels a held order.
func (s *Service) reject(ctx context.Context, req orders.DecideOrder) (orders.Order, error) {
	return s.staffCommand(ctx, req.OrderID, commandID(ctx, orders.Reject.Info(), req.OrderID), domain.Reject{Reason: req.Reason})
}

// refund promises to give money back. The refund is called after its command, so that
// the same call repeated is the same refund.
func (s *Service) refund(ctx context.Context, req orders.RefundOrder) (orders.Order, error) {
	var amount money.Amount
	if req.Amount != nil {
		amount = req.Amount.Amount()
	}
	id := commandID(ctx, orders.Refund.Info(), req.OrderID)
	order, err := s.staffCommand(ctx, req.OrderID, id, domain.Refund{ID: id, Amount: amount, Reason: req.Reason})
	if err != nil {
		return orders.Order{}, err
	}
	for _, r := range order.Refunds {
		if r.RefundID == id && (r.Reason != req.Reason || !amount.IsZero() && r.Amount != amount) {
			return orders.Order{}, orders.ErrKeyReused
		}
	}
	return order, nil
}

// staffCommand is command for those who act for no customer.
func (s *Service) staffCommand(ctx context.Context, orderID, commandID string, c domain.Command) (orders.Order, error) {
	if telemetry.ActorFrom(ctx).For != "" {
		return orders.Order{}, orders.ErrStaff
	}
	return s.command(ctx, orderID, commandID, c)
}

// command runs a command on an order and answers the order as it is then.
func (s *Service) command(ctx context.Context, orderID, commandID string, c domain.Command) (orders.Order, error) {
	if _, _, err := s.orders.Do(ctx, orderID, commandID, c); err != nil {
		return orders.Order{}, err
	}
	return s.view(ctx, orderID)
}

// commandID names a command on an order after the caller's key; without a key it has a
// name of its own.
func commandID(ctx context.Context, method contract.MethodInfo, orderID string) string {
	key := telemetry.CommandFrom(ctx)
	if key == "" {
		return idem.Fresh()
	}
	return idem.ID(telemetry.ActorFrom(ctx), method, key, orderID)
}
