package orders

import (
	"context"
	"sync"
	"time"

	"github.com/ordermesh/ordermesh/bus/rpc"
	"github.com/ordermesh/ordermesh/contracts/orders"
	"github.com/ordermesh/ordermesh/contracts/payments"
	"github.com/ordermesh/ordermesh/contracts/sealed"
)

// keyAge is how long a key of the payments service is used before it is asked again.
const keyAge = 10 * time.Minute

// sealer makes payment references of payment tokens. It asks the payments service
// for its key with the first order, then every keyAge; in between, sealing is local.
type sealer struct {
	client *rpc.Client

	mu     sync.Mutex
	sealer *sealed.Sealer
	since  time.Time
}

func newSealer(client *rpc.Client) *sealer { return &sealer{client: client} }

// seal returns the reference of a token for one order.
func (s *sealer) seal(ctx context.Context, token, orderID string) (string, error) {
	current, err := s.current(ctx)
	if err != nil {
		return "", err
	}
	return current.Seal(token, orderID), nil
}

func (s *sealer) current(ctx context.Context) (*sealed.Sealer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sealer != nil && time.Since(s.since) < keyAge {
		return s.sealer, nil
	}
	fresh, err := s.fetch(ctx)
	switch {
	case err == nil:
		s.sealer, s.since = fresh, time.Now()
	case s.sealer == nil:
		return nil, err
	}
	return s.sealer, nil
}

func (s *sealer) fetch(ctx context.Context) (*sealed.Sealer, error) {
	key, err := rpc.Call(ctx, s.client, payments.Key, payments.GetKey{})
	if err != nil {
		return nil, orders.ErrPayments.Sayf("the payments service does not answer: %v", err)
	}
	return sealed.NewSealer(sealed.PublicKey{ID: key.KeyID, Key: key.Key})
}
