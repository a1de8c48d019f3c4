package orders

import (
	"context"
	"slices"

	"github.com/ordermesh/ordermesh/bus/telemetry"
	"github.com/ordermesh/ordermesh/contracts/orders"
)

// get answers an order with its history.
func (s *Service) get(ctx context.Context, req orders.GetOrder) (orders.Order, error) {
	if req.MinVersion > 0 {
		if err := s.await(ctx, req.OrderID, req.MinVersion); err != nil {
			return orders.Order{}, err
		}
	}
	return s.view(ctx, req.OrderID)
}

// view reads an order's whole history. An order of another customer than the one the
// caller acts for does not exist for that caller.
func (s *Service) view(ctx context.Context, id string) (orders.Order, error) {
	history, err := s.orders.History(ctx, id)
	if err != nil {
		return orders.Order{}, err
	}
	if len(history) == 0 {
		return orders.Order{}, orders.ErrUnknown
	}
	order := viewOf(id, history)
	if foreign(ctx, order.CustomerID) {
		return orders.Order{}, orders.ErrUnknown
	}
	return forCaller(ctx, order), nil
}

// forCaller is an order as the caller may see it: customers are not told what rules there
// are and what was known about them.
func forCaller(ctx context.Context, o orders.Order) orders.Order {
	if o.Acceptance == nil || telemetry.ActorFrom(ctx).For == "" {
		return o
	}
	o.Acceptance, o.History = nil, slices.Clone(o.History)
	for i := range o.History {
		o.History[i].Note = ""
	}
	return o
}

func foreign(ctx context.Context, customer string) bool {
	actor := telemetry.ActorFrom(ctx)
	return actor.For != "" && actor.For != customer
}

// await returns once the order has reached a version, or an error while there is
// still time to answer it.
func (s *Service) await(ctx context.Context, id string, version uint64) error {
	o, now, err := s.orders.Get(ctx, id)
	switch {
	case err != nil:
		return err
	case now == 0 || foreign(ctx, o.CustomerID):
		return orders.ErrUnknown
	case now >= version:
		return nil
	}
	_, _, err = s.orders.Await(ctx, id, version)
	return err
}
