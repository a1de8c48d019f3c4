package orders

import (
	"context"
	"time"

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
	return order, nil
}

func foreign(ctx context.Context, customer string) bool {
	actor := telemetry.ActorFrom(ctx)
	return actor.For != "" && actor.For != customer
}

// The pauses between two looks at an order that is waited for, and the share of the
// caller's time that is kept for the answer.
const (
	lookFirst   = 10 * time.Millisecond
	lookLongest = 200 * time.Millisecond
	answerShare = 20
)

// await returns once the order has reached a version, or an error while there is
// still time to answer it.
func (s *Service) await(ctx context.Context, id string, version uint64) error {
	deadline, ok := ctx.Deadline()
	if !ok {
		return s.look(ctx, id, version, nil)
	}
	left := time.Until(deadline)
	enough := time.NewTimer(left - left/answerShare)
	defer enough.Stop()
	return s.look(ctx, id, version, enough.C)
}

// look looks at the order again and again, until it is enough.
func (s *Service) look(ctx context.Context, id string, version uint64, enough <-chan time.Time) error {
	for pause := lookFirst; ; pause = min(pause*2, lookLongest) {
		o, now, err := s.orders.Get(ctx, id)
		switch {
		case err != nil:
			return err
		case now == 0 || foreign(ctx, o.CustomerID):
			return orders.ErrUnknown
		case now >= version:
			return nil
		}
		next := time.NewTimer(pause)
		select {
		case <-next.C:
		case <-enough:
			next.Stop()
			return orders.ErrNotReached.Sayf("the order is at version %d", now)
		case <-ctx.Done():
			next.Stop()
			return ctx.Err()
		}
	}
}
