package chaos

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

// The judge is proved: each build lacks one protection, and under the load that
// needs this protection the damage is found. A build with it stands the same load.
func TestSabotageIsFound(t *testing.T) {
	t.Parallel()
	if ScaleFromEnv() == Short {
		t.Skip("builds the binary five times: MESH_CHAOS=ci runs it")
	}
	for _, c := range []struct {
		bad, good Variant
		strain    func(*rig) error
		checks    []string // of the judge; one of them must find it
	}{
		{NoCAS, Plain, twoWriters, []string{"versions"}},
		{EarlyAck, Plain, killedOften, []string{"acknowledged", "finished", "flows", "reservations"}},
		{RandomKey, Failpoint, crashedAfterCharge, []string{"provider"}},
		{StaleCache, Plain, restocked, []string{"refusals"}},
	} {
		name, _, _ := strings.Cut(string(c.bad), ",")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bad := newRig(t, c.bad)
			if err := c.strain(bad); err != nil {
				t.Fatal(err)
			}
			v := bad.verdict(10 * time.Second)
			if !foundBy(v, c.checks) {
				t.Errorf("the judge's checks %v found nothing; others: %v", c.checks, v.Checks())
			}
			t.Log("found by: ", v.Checks())
			bad.mesh.Kill()
			good := newRig(t, c.good)
			if err := c.strain(good); err != nil {
				t.Fatal(err)
			}
			good.clean(time.Minute)
		})
	}
}

func foundBy(v Verdict, checks []string) bool {
	return slices.ContainsFunc(v.Checks(), func(name string) bool { return slices.Contains(checks, name) })
}

// twoWriters lets two processes change the same few entities.
func twoWriters(r *rig) error {
	r.up()
	if _, err := r.mesh.Join(r.Context(), "orders", "inventory", "payments", "shipping"); err != nil {
		return err
	}
	r.stock(2, 1_000_000)
	return r.load(Load{Name: "order", Orders: 200, Clients: 32})()
}

// killedOften kills the process while much is on its way.
func killedOften(r *rig) error {
	r.up()
	r.stock(10, 1_000_000)
	l := r.shape(Load{Name: "order", Orders: 500, Clients: 48, Gate: NewGate()})
	wait := r.load(l)
	kill := func() error {
		r.mesh.Kill()
		return nil
	}
	if _, err := killUnderLoad(r.Context(), r.mesh, r.ledger, l, 8, kill); err != nil {
		return err
	}
	return wait()
}

// crashedAfterCharge has the process die when the provider has charged and nobody has
// written it down.
func crashedAfterCharge(r *rig) error {
	r.up()
	r.stock(5, 1_000_000)
	r.mesh.Kill()
	if !crashAt(r, "payments.charged:4", Load{Name: "order", Orders: 24, Clients: 8}) {
		return errors.New("the crash did not happen")
	}
	return r.mesh.Up(r.Context())
}

// restocked sells out and restocks while two processes look after the stock: what
// one of them remembers, the other has changed.
func restocked(r *rig) error {
	r.up()
	if _, err := r.mesh.Join(r.Context(), "inventory"); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(r.Context())
	for i := range 16 {
		sku := fmt.Sprintf("RARE-%02d", i)
		r.stockOne(sku, 1)
		group.Go(func() error { return sellRefuseRestockSell(ctx, r, sku) })
	}
	return group.Wait()
}

func sellRefuseRestockSell(ctx context.Context, r *rig, sku string) error {
	for i, scarce := range []bool{false, true, true, false} {
		key := fmt.Sprintf("%s-%d", sku, i)
		if i == 3 {
			more := adjustment{SKU: sku, Delta: 1, Reason: "delivery"}
			if err := r.client.Insist(ctx, "svc.inventory.adjust", key, more, nil); err != nil {
				return err
			}
		}
		var answer placed
		if err := r.client.Insist(ctx, "svc.orders.place", key, placeOrder(tokOK, line{SKU: sku, Quantity: 1}), &answer); err != nil {
			return err
		}
		if err := r.ledger.Placed(Entry{OrderID: answer.OrderID, Key: key, Token: tokOK, Scarce: scarce}); err != nil {
			return err
		}
		if err := ended(ctx, r, answer.OrderID); err != nil {
			return err
		}
	}
	return nil
}

// ended waits until the order is delivered or cancelled.
func ended(ctx context.Context, r *rig, id string) error {
	for {
		var o order
		if err := r.client.Insist(ctx, "svc.orders.get", "", orderQuery{OrderID: id}, &o); err != nil {
			return err
		}
		if o.Status == "delivered" || o.Status == "cancelled" {
			return nil
		}
		select {
		case <-time.After(pollEvery):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
