package orders

import (
	"context"
	"time"

	"github.com/ordermesh/ordermesh/bus/rpc"
	"github.com/ordermesh/ordermesh/contracts/orders"
	"github.com/ordermesh/ordermesh/contracts/payments"
	"github.com/ordermesh/ordermesh/contracts/sealed"
)

const (
	keyAge     = 10 * time.Minute       // how long a key is used before it is asked for again
	keyRefresh = 500 * time.Millisecond // how long an order may wait for the newer key
)

// sealer makes payment references of payment tokens. It asks the payments service
// for its key with the first order, then every keyAge; in between, sealing is local.
// Once it has a key, it goes on with it while the payments service does not answer.
type sealer struct {
	fetch func(ctx context.Context) (*sealed.Sealer, error)
	turn  chan struct{} // holds one token: who has it may look at the fields below

	sealer *sealed.Sealer
	since  time.Time
}

func newSealer(client *rpc.Client) *sealer {
	s := &sealer{turn: make(chan struct{}, 1)}
	s.turn <- struct{}{}
	s.fetch = func(ctx context.Context) (*sealed.Sealer, error) {
		key, err := rpc.Call(ctx, client, payments.Key, payments.GetKey{})
		if err != nil {
			return nil, orders.ErrPayments.Sayf("the payments service does not answer: %v", err)
		}
		return sealed.NewSealer(sealed.PublicKey{ID: key.KeyID, Key: key.Key})
	}
	return s
}

// seal returns the reference of a token for one order.
func (s *sealer) seal(ctx context.Context, token, orderID string) (string, error) {
	current, err := s.current(ctx)
	if err != nil {
		return "", err
	}
	return current.Seal(token, orderID), nil
}

func (s *sealer) current(ctx context.Context) (*sealed.Sealer, error) {
	select {
	case <-s.turn:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { s.turn <- struct{}{} }()
	switch {
	case s.sealer == nil:
		fresh, err := s.fetch(ctx)
		if err != nil {
			return nil, err
		}
		s.sealer, s.since = fresh, time.Now()
	case time.Since(s.since) > keyAge:
		ctx, cancel := context.WithTimeout(ctx, keyRefresh)
		defer cancel()
		if fresh, err := s.fetch(ctx); err == nil {
			s.sealer = fresh
		}
		s.since = time.Now()
	}
	return s.sealer, nil
}
