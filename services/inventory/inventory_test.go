package inventory_test

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/rpc"
	wire "github.com/ordermesh/ordermesh/contracts/inventory"
	"github.com/ordermesh/ordermesh/contracts/line"
	"github.com/ordermesh/ordermesh/services/inventory"
)

func TestMain(m *testing.M) { bustest.Main(m) }

// serve runs so many instances of the service on the broker and returns a client.
func serve(t *testing.T, b *bustest.Broker, instances int) *rpc.Client {
	t.Helper()
	var services []*inventory.Service
	for range instances {
		s, err := inventory.New(b.Dial(t, bustest.WithService("inventory")), inventory.Config{})
		if err != nil {
			t.Fatal(err)
		}
		services = append(services, s)
	}
	bustest.Run(t, services...)
	return rpc.NewClient(b.Dial(t))
}

func stock(t *testing.T, c *rpc.Client, sku string, n int64) {
	t.Helper()
	if _, err := rpc.Call(t.Context(), c, wire.Adjust, wire.AdjustStock{SKU: sku, Delta: n, Reason: "delivery"}); err != nil {
		t.Fatal(err)
	}
}

func ref(order string) wire.ReservationRef { return wire.ReservationRef{OrderID: order} }

func TestLifeOfAReservation(t *testing.T) {
	t.Parallel()
	c := serve(t, bustest.Server(t, bustest.WithServices(wire.Descriptor)), 1)
	stock(t, c, "TEA-001", 10)
	stock(t, c, "POT-001", 1)
	lines := []line.Line{{SKU: "TEA-001", Quantity: 4}, {SKU: "POT-001", Quantity: 1}}

	held := reservation(t, c, wire.Reserve, wire.ReserveLines{OrderID: "o1", Lines: lines})
	if diff := cmp.Diff(wire.Reservation{OrderID: "o1", Status: wire.Held, Lines: lines, Version: 2}, held); diff != "" {
		t.Error(diff)
	}
	short := reservation(t, c, wire.Reserve, wire.ReserveLines{OrderID: "o2", Lines: lines})
	if diff := cmp.Diff(wire.Reservation{OrderID: "o2", Status: wire.Refused, Lines: lines, Short: "POT-001", Version: 2}, short); diff != "" {
		t.Error(diff)
	}
	wantStock(t, c, wire.Stock{SKU: "TEA-001", OnHand: 10, Reserved: 4, Available: 6, Version: 2})
	sold := reservation(t, c, wire.Commit, ref("o1"))
	if sold.Status != wire.Committed {
		t.Errorf("after the commit: %+v", sold)
	}
	wantStock(t, c, wire.Stock{SKU: "TEA-001", OnHand: 6, Available: 6, Version: 3})
	if again := reservation(t, c, wire.Commit, ref("o1")); !cmp.Equal(again, sold) {
		t.Errorf("repeated, the commit answers %+v", again)
	}
	if back := reservation(t, c, wire.Release, ref("o1")); back.Status != wire.Returned {
		t.Errorf("after the release: %+v", back)
	}
	wantStock(t, c, wire.Stock{SKU: "TEA-001", OnHand: 10, Available: 10, Version: 4})
	if closed := reservation(t, c, wire.Reserve, wire.ReserveLines{OrderID: "o1", Lines: lines}); closed.Status != wire.Returned {
		t.Errorf("a closed reservation holds again: %+v", closed)
	}
}

func reservation[Req any](t *testing.T, c *rpc.Client, m contract.Method[Req, wire.Reservation], req Req) wire.Reservation {
	t.Helper()
	r, err := rpc.Call(t.Context(), c, m, req)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func wantStock(t *testing.T, c *rpc.Client, want wire.Stock) {
	t.Helper()
	got, err := rpc.Call(t.Context(), c, wire.Get, wire.GetStock{SKU: want.SKU, MinVersion: want.Version})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	c := serve(t, bustest.Server(t, bustest.WithServices(wire.Descriptor)), 1)
	stock(t, c, "TEA-001", 10)
	lines := []line.Line{{SKU: "TEA-001", Quantity: 4}}
	if _, err := rpc.Call(t.Context(), c, wire.Reserve, wire.ReserveLines{OrderID: "o1", Lines: lines}); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		call func() error
		want error
	}{
		"stock of a stranger": {func() error { _, err := rpc.Call(t.Context(), c, wire.Get, wire.GetStock{SKU: "NO"}); return err }, wire.ErrNoStock},
		"less than is reserved": {func() error {
			_, err := rpc.Call(t.Context(), c, wire.Adjust, wire.AdjustStock{SKU: "TEA-001", Delta: -7, Reason: "broken"})
			return err
		}, wire.ErrBelow},
		"other lines": {func() error {
			_, err := rpc.Call(t.Context(), c, wire.Reserve, wire.ReserveLines{OrderID: "o1", Lines: []line.Line{{SKU: "TEA-001", Quantity: 5}}})
			return err
		}, wire.ErrDiffers},
		"commit of nothing": {func() error { _, err := rpc.Call(t.Context(), c, wire.Commit, ref("o9")); return err }, wire.ErrReservation},
		"quantity 0": {func() error {
			_, err := rpc.Call(t.Context(), c, wire.Reserve, wire.ReserveLines{OrderID: "o2", Lines: []line.Line{{SKU: "TEA-001"}}})
			return err
		}, line.ErrQuantity},
	} {
		if err := c.call(); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func TestAdjustingUnderAKeyHappensOnce(t *testing.T) {
	t.Parallel()
	c := serve(t, bustest.Server(t, bustest.WithServices(wire.Descriptor)), 2)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			_, err := rpc.Call(t.Context(), c, wire.Adjust, wire.AdjustStock{SKU: "TEA-001", Delta: 5, Reason: "delivery"}, rpc.WithCommandID("k1"))
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	wantStock(t, c, wire.Stock{SKU: "TEA-001", OnHand: 5, Available: 5, Version: 1})
}

// TestNothingIsOversold sends more buyers than there is stock to two instances.
func TestNothingIsOversold(t *testing.T) {
	t.Parallel()
	const units, buyers = 40, 200
	c := serve(t, bustest.Server(t, bustest.WithServices(wire.Descriptor)), 2)
	stock(t, c, "TEA-001", units)
	var sold, refused atomic.Int64
	var wg sync.WaitGroup
	for i := range buyers {
		wg.Go(func() {
			order := fmt.Sprintf("o%d", i)
			r, err := rpc.Call(t.Context(), c, wire.Reserve, wire.ReserveLines{OrderID: order, Lines: []line.Line{{SKU: "TEA-001", Quantity: 1}}})
			switch {
			case err != nil:
				t.Error(err)
			case r.Status == wire.Refused:
				refused.Add(1)
			default:
				if _, err := rpc.Call(t.Context(), c, wire.Commit, ref(order)); err != nil {
					t.Error(err)
				}
				sold.Add(1)
			}
		})
	}
	wg.Wait()
	if sold.Load() != units || refused.Load() != buyers-units {
		t.Errorf("%d sold and %d refused, of %d units and %d buyers", sold.Load(), refused.Load(), units, buyers)
	}
	wantStock(t, c, wire.Stock{SKU: "TEA-001", Version: 1 + 2*units})
}
