package chaos

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/contract"
)

// P4: of a thing that is in stock n times exactly n are sold, however many want it
// at once, and the others are told that it is out of stock.
func TestNothingIsOversold(t *testing.T) {
	t.Parallel()
	scale := ScaleFromEnv()
	runs, units, buyers := scale.pick(1, 20, 200), scale.pick(100, 1_000, 1_000), scale.pick(500, 5_000, 5_000)
	r := newRig(t, Plain)
	r.up()
	fold := NewFold()
	for run := range runs {
		sku := fmt.Sprintf("HOT-%03d", run)
		r.stockOne(sku, int64(units))
		if err := rush(t.Context(), r, sku, buyers); err != nil {
			t.Fatal(err)
		}
		if err := fold.Finish(t.Context(), r.client.JetStream(), 2*time.Minute); err != nil {
			t.Fatal(err)
		}
		ends := fold.Ends()
		if sold, refused := ends["delivered"], ends["cancelled: out_of_stock"]; sold != units*(run+1) || refused != (buyers-units)*(run+1) {
			t.Fatalf("run %d: %d sold and %d out of stock, want %d and %d", run+1, sold, refused, units*(run+1), (buyers-units)*(run+1))
		}
		bustest.Eventually(t, time.Minute, func() bool { // a read is of a moment ago
			var left stock
			err := r.client.Insist(t.Context(), "svc.inventory.get", "", stockQuery{SKU: sku}, &left)
			return err == nil && left.OnHand == 0 && left.Reserved == 0 && left.Available == 0
		}, "nothing to be left over in run ", run+1)
	}
	r.clean(2 * time.Minute)
}

// rush lets all buyers ask at once for one piece each.
func rush(ctx context.Context, r *rig, sku string, buyers int) error {
	group, ctx := errgroup.WithContext(ctx)
	for i := range buyers {
		group.Go(func() error {
			key := fmt.Sprintf("%s-%d", sku, i)
			var answer placed
			if err := r.client.Insist(ctx, "svc.orders.place", key, placeOrder(tokOK, line{SKU: sku, Quantity: 1}), &answer); err != nil {
				return fmt.Errorf("buyer %s: %w", key, err)
			}
			return r.ledger.Placed(Entry{OrderID: answer.OrderID, Key: key, Token: tokOK, Scarce: true})
		})
	}
	return group.Wait()
}

// One Idempotency-Key, fifty times at once, is one order; with another request it
// is refused.
func TestOneKeyIsOneOrder(t *testing.T) {
	t.Parallel()
	r := newRig(t, Plain)
	r.up()
	r.stock(1, 1_000)
	request := placeOrder(tokOK, line{SKU: r.skus[0], Quantity: 1})
	answers := make([]placed, 50)
	var group errgroup.Group
	for i := range answers {
		group.Go(func() error {
			return r.client.Insist(t.Context(), "svc.orders.place", "same-key", request, &answers[i])
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	for i, a := range answers {
		if a != answers[0] || a.Status != "placed" {
			t.Errorf("answer %d is %+v, the first was %+v", i, a, answers[0])
		}
	}
	other := placeOrder(tokOK, line{SKU: r.skus[0], Quantity: 2})
	err := r.client.Insist(t.Context(), "svc.orders.place", "same-key", other, nil)
	var refused *contract.Error
	if !errors.As(err, &refused) || refused.Code != contract.Unprocessable {
		t.Errorf("the same key with another request: %v, want unprocessable", err)
	}
	dearer := product{SKU: r.skus[0], Name: "Thing", Price: money{Amount: 9_999, Currency: "EUR"}}
	if err := r.client.Insist(t.Context(), "svc.catalog.put", "dearer", dearer, nil); err != nil {
		t.Fatal(err)
	}
	var again placed
	if err := r.client.Insist(t.Context(), "svc.orders.place", "same-key", request, &again); err != nil || again != answers[0] {
		t.Errorf("the same request after a price change: %+v, %v; want %+v", again, err, answers[0])
	}
	if err := r.ledger.Placed(Entry{OrderID: answers[0].OrderID, Key: "same-key", Token: tokOK}); err != nil {
		t.Fatal(err)
	}
	if v := r.clean(time.Minute); v.Orders != 1 {
		t.Errorf("%d orders are stored", v.Orders)
	}
}
