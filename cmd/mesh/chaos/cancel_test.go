package chaos

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"golang.org/x/sync/errgroup"

	"github.com/ordermesh/ordermesh/bus/contract"
)

// checkoutSteps are the events by which a checkout can be followed from outside. At
// each of them some customers change their mind.
var checkoutSteps = []string{
	"order.placed.v1", "reservation.opened.v1", "stock.held.v1", "reservation.held.v1", "payment.authorized.v1",
	"order.confirmed.v1", "payment.captured.v1", "reservation.committed.v1", "stock.sold.v1",
	"order.dispatched.v1", "shipment.created.v1", "order.shipped.v1", "order.delivered.v1",
}

// A cancellation that races every step of checkout either wins, and everything is
// undone, or loses, and the order is delivered.
func TestCancelRacesCheckout(t *testing.T) {
	t.Parallel()
	orders := ScaleFromEnv().pick(15, 400, 4_000) * len(checkoutSteps)
	r := newRig(t, Plain)
	r.up()
	r.stock(5, 1_000_000)
	race := newRace(t, r.client.NATS())
	group, ctx := errgroup.WithContext(t.Context())
	group.SetLimit(32)
	for i := range orders {
		group.Go(func() error { return race.run(ctx, r, fmt.Sprintf("race-%d", i), checkoutSteps[i%len(checkoutSteps)]) })
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	v := r.clean(time.Minute)
	for _, step := range checkoutSteps {
		t.Logf("cancelled at %s: %d won, %d lost", step, race.won[step], race.lost[step])
	}
	if won := v.Ends["cancelled: changed my mind"]; won == 0 || v.Ends["delivered"] == 0 {
		t.Errorf("%d cancelled and %d delivered: there was no race", won, v.Ends["delivered"])
	}
}

// race watches orders from outside, as anybody with the right to subscribe can.
type race struct {
	mu        sync.Mutex
	waiting   map[string]chan struct{} // by event type and order
	won, lost map[string]int           // by event type
}

func newRace(t *testing.T, nc *nats.Conn) *race {
	t.Helper()
	r := &race{waiting: map[string]chan struct{}{}, won: map[string]int{}, lost: map[string]int{}}
	sub, err := nc.Subscribe("evt.>", r.hear)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sub.Unsubscribe() }) // the connection may be closed already
	return r
}

func (r *race) hear(m *nats.Msg) {
	commit, err := contract.DecodeCommit(m.Data)
	if err != nil {
		return
	}
	id := m.Subject[strings.LastIndexByte(m.Subject, '.')+1:]
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range commit.Events {
		var data struct {
			OrderID string `json:"order_id"`
		}
		key := e.Type + " " + id
		if strings.HasPrefix(e.Type, "stock.") && contract.UnmarshalLenient(e.Data, &data) == nil {
			key = e.Type + " " + data.OrderID
		}
		if ch := r.waiting[key]; ch != nil {
			close(ch)
			delete(r.waiting, key)
		}
	}
}

// run places an order and cancels it the moment the step shows.
func (r *race) run(ctx context.Context, g *rig, id, step string) error {
	seen := make(chan struct{})
	r.mu.Lock()
	r.waiting[step+" "+id] = seen
	r.mu.Unlock()
	request := placeOrder(tokOK, line{SKU: g.skus[0], Quantity: 1}, line{SKU: g.skus[1], Quantity: 2})
	request.OrderID = id
	if err := g.client.Insist(ctx, "svc.orders.place", "", request, nil); err != nil {
		return fmt.Errorf("place order %s: %w", id, err)
	}
	if err := g.ledger.Placed(Entry{OrderID: id, Key: id, Token: tokOK}); err != nil {
		return err
	}
	select {
	case <-seen:
	case <-ctx.Done():
		return fmt.Errorf("order %s never came to %s: %w", id, step, ctx.Err())
	}
	if err := g.ledger.Cancel(id, false); err != nil {
		return err
	}
	err := g.client.Insist(ctx, "svc.orders.cancel", "cancel-"+id, cancellation{OrderID: id, Reason: "changed my mind"}, nil)
	var refused *contract.Error
	won := err == nil
	if !won && (!errors.As(err, &refused) || refused.Code != contract.FailedPrecondition) {
		return fmt.Errorf("cancel order %s: %w", id, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if won {
		r.won[step]++
		return g.ledger.Cancel(id, true)
	}
	r.lost[step]++
	return nil
}
