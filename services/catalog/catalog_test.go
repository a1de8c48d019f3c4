package catalog_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/rpc"
	wire "github.com/ordermesh/ordermesh/contracts/catalog"
	"github.com/ordermesh/ordermesh/contracts/money"
	"github.com/ordermesh/ordermesh/services/catalog"
)

const patience = 20 * time.Second

func TestMain(m *testing.M) { bustest.Main(m) }

// serve runs two instances of the service and returns a client.
func serve(t *testing.T) *rpc.Client {
	t.Helper()
	b := bustest.Server(t, bustest.WithServices(wire.Descriptor))
	var services []*catalog.Service
	for range 2 {
		s, err := catalog.New(b.Dial(t, bustest.WithService("catalog")), catalog.Config{})
		if err != nil {
			t.Fatal(err)
		}
		services = append(services, s)
	}
	bustest.Run(t, services...)
	return rpc.NewClient(b.Dial(t))
}

func put(t *testing.T, c *rpc.Client, sku string, price int64, opts ...rpc.CallOption) wire.Product {
	t.Helper()
	p, err := rpc.Call(t.Context(), c, wire.Put, wire.PutProduct{SKU: sku, Name: "Name of " + sku, Price: money.In(money.New(price, "EUR"))}, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPutAndGet(t *testing.T) {
	t.Parallel()
	c := serve(t)
	if _, err := rpc.Call(t.Context(), c, wire.Get, wire.GetProduct{SKU: "TEA-001"}); !errors.Is(err, wire.ErrUnknown) {
		t.Errorf("a product that does not exist: %v", err)
	}
	want := wire.Product{SKU: "TEA-001", Name: "Name of TEA-001", Price: money.New(1299, "EUR"), Active: true, Version: 1}
	if diff := cmp.Diff(want, put(t, c, "TEA-001", 1299)); diff != "" {
		t.Error(diff)
	}
	if again := put(t, c, "TEA-001", 1299); again.Version != 1 {
		t.Errorf("the same product again is version %d", again.Version)
	}
	want.Price, want.Version = money.New(1399, "EUR"), 2
	put(t, c, "TEA-001", 1399)
	got, err := rpc.Call(t.Context(), c, wire.Get, wire.GetProduct{SKU: "TEA-001", MinVersion: 2})
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Error(err, diff)
	}
}

func TestFindLeavesOutWhatIsNotThere(t *testing.T) {
	t.Parallel()
	c := serve(t)
	var skus []string
	for i := range 40 {
		sku := fmt.Sprintf("SKU-%02d", i)
		if skus = append(skus, sku); i%3 > 0 {
			put(t, c, sku, int64(i))
		}
	}
	got, err := rpc.Call(t.Context(), c, wire.Find, wire.FindProducts{SKUs: skus})
	if err != nil {
		t.Fatal(err)
	}
	var want []wire.Product
	for i, sku := range skus {
		if i%3 > 0 {
			want = append(want, wire.Product{SKU: sku, Name: "Name of " + sku, Price: money.New(int64(i), "EUR"), Active: true, Version: 1})
		}
	}
	if diff := cmp.Diff(want, got.Products); diff != "" {
		t.Error(diff)
	}
	none, err := rpc.Call(t.Context(), c, wire.Find, wire.FindProducts{SKUs: []string{"SKU-00"}})
	if err != nil || len(none.Products) != 0 {
		t.Errorf("%+v, %v", none, err)
	}
}

// TestALateRetryDoesNotBringTheOldPriceBack repeats a put under its key after another.
func TestALateRetryDoesNotBringTheOldPriceBack(t *testing.T) {
	t.Parallel()
	c := serve(t)
	put(t, c, "TEA-001", 1299, rpc.WithCommandID("k1"))
	put(t, c, "TEA-001", 1399, rpc.WithCommandID("k2"))
	if late := put(t, c, "TEA-001", 1299, rpc.WithCommandID("k1")); late.Price.Minor != 1399 {
		t.Errorf("after the retry the price is %s", late.Price)
	}
	if other := put(t, c, "TEA-001", 1499, rpc.WithCommandID("k1")); other.Price.Minor != 1499 {
		t.Errorf("another request under the key was swallowed: %s", other.Price)
	}
}

func TestListGoesPageByPage(t *testing.T) {
	t.Parallel()
	c := serve(t)
	const products = 25
	for i := range products {
		put(t, c, fmt.Sprintf("SKU-%02d", (i*7)%products), int64(i))
	}
	var skus []string
	bustest.Eventually(t, patience, func() bool {
		skus = nil
		for cursor := ""; ; {
			page, err := rpc.Call(t.Context(), c, wire.List, wire.ListProducts{Limit: 10, Cursor: cursor})
			if err != nil {
				t.Fatal(err)
			}
			if len(page.Products) > 10 {
				t.Fatalf("%d products on a page of 10", len(page.Products))
			}
			for _, p := range page.Products {
				skus = append(skus, p.SKU)
			}
			if cursor = page.NextCursor; cursor == "" {
				return len(skus) == products
			}
		}
	}, "the list to have every product")
	for i, sku := range skus {
		if want := fmt.Sprintf("SKU-%02d", i); sku != want {
			t.Errorf("place %d has %s, want %s", i, sku, want)
		}
	}
	var e *contract.Error
	if _, err := rpc.Call(t.Context(), c, wire.List, wire.ListProducts{Cursor: "bm9uc2Vuc2U"}); !errors.As(err, &e) || e.Code != contract.Invalid || e.Field != "/cursor" {
		t.Errorf("a cursor of nobody: %v", err)
	}
}
