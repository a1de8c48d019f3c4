package chaos

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ordermesh/ordermesh/bus/contract"
)

// Orders that are cancelled at random moments, some of them on hold and approved at
// another random moment, end in one of two ways: delivered and charged, or cancelled and
// charged nothing. The judge looks at the provider's book as well.
func TestCancelAtRandomMoments(t *testing.T) {
	t.Parallel()
	orders := ScaleFromEnv().pick(150, 2_000, 20_000)
	r := newRig(t, Plain)
	r.up("MESH_ORDERS_HOLD_OVER=3000")
	r.stock(5, 1_000_000)
	random := rand.New(rand.NewPCG(r.seed, 1))
	group, ctx := errgroup.WithContext(t.Context())
	group.SetLimit(32)
	for i := range orders {
		m := moments{id: fmt.Sprintf("random-%d", i), held: i%4 == 0, cancel: moment(random), approve: moment(random)}
		group.Go(func() error { return m.run(ctx, r) })
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	v := r.clean(2 * time.Minute)
	if v.Ends["cancelled: changed my mind"] == 0 || v.Ends["delivered"] == 0 {
		t.Errorf("%v: there was no race", v.Ends)
	}
}

// moment is 5 ms to 5 s, as often below as above 160 ms: before, amid and after a checkout
// on a fast machine and on a busy one.
func moment(random *rand.Rand) time.Duration {
	return time.Duration(float64(5*time.Millisecond) * math.Pow(1000, random.Float64()))
}

// moments is one order and when what happens to it.
type moments struct {
	id              string
	held            bool
	cancel, approve time.Duration // after it is placed
}

func (m moments) run(ctx context.Context, r *rig) error {
	quantity := int64(1)
	if m.held {
		quantity = 3
	}
	request := placeOrder(tokOK, line{SKU: r.skus[0], Quantity: quantity})
	request.OrderID = m.id
	if err := r.client.Insist(ctx, "svc.orders.place", "", request, nil); err != nil {
		return fmt.Errorf("place order %s: %w", m.id, err)
	}
	if err := r.ledger.Placed(Entry{OrderID: m.id, Key: m.id, Token: tokOK}); err != nil {
		return err
	}
	ctx, ended := context.WithCancel(ctx)
	defer ended()
	var approval sync.WaitGroup
	if m.held {
		approval.Go(func() { m.approveUntil(ctx, r) })
	}
	err := m.change(ctx, r)
	ended()
	approval.Wait()
	return err
}

// change cancels the order at its moment. A loss means that it is dispatched.
func (m moments) change(ctx context.Context, r *rig) error {
	if !pause(ctx, m.cancel) {
		return ctx.Err()
	}
	if err := r.ledger.Cancel(m.id, false); err != nil {
		return err
	}
	err := r.client.Insist(ctx, "svc.orders.cancel", "cancel-"+m.id, cancellation{OrderID: m.id, Reason: "changed my mind"}, nil)
	var refused *contract.Error
	switch {
	case err == nil:
		return r.ledger.Cancel(m.id, true)
	case errors.As(err, &refused) && refused.Code == contract.FailedPrecondition:
		return nil
	}
	return fmt.Errorf("cancel order %s: %w", m.id, err)
}

// approveUntil approves the order from its moment on until it is on hold, or the race is
// over.
func (m moments) approveUntil(ctx context.Context, r *rig) {
	for wait := m.approve; pause(ctx, wait); wait = 5 * time.Millisecond {
		if r.client.Insist(ctx, "svc.orders.approve", "approve-"+m.id, approval{OrderID: m.id}, nil) == nil {
			return
		}
	}
}

// pause reports whether the time passed.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
