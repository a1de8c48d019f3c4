package catalog_test

import (
	"errors"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/rpc"
	wire "github.com/ordermesh/ordermesh/contracts/catalog"
	"github.com/ordermesh/ordermesh/contracts/money"
	"github.com/ordermesh/ordermesh/contracts/page"
)

// skus goes through a whole list.
func skus(t *testing.T, c *rpc.Client, req wire.ListProducts) []string {
	t.Helper()
	list := []string{}
	for {
		p, err := rpc.Call(t.Context(), c, wire.List, req)
		if err != nil {
			t.Fatal(err)
		}
		for _, product := range p.Products {
			list = append(list, product.SKU)
		}
		if req.Cursor = p.NextCursor; req.Cursor == "" {
			return list
		}
	}
}

func TestListFilters(t *testing.T) {
	t.Parallel()
	c := serve(t)
	yes, no := true, false
	var last wire.Product
	for i, sku := range []string{"TEA-2", "POT", "TEA-1", "TEA", "tea", "ZED"} {
		active := i%2 == 0
		p, err := rpc.Call(t.Context(), c, wire.Put, wire.PutProduct{SKU: sku, Name: "N", Price: money.In(money.New(1, "EUR")), Active: &active})
		if err != nil {
			t.Fatal(err)
		}
		last = p
	}
	seen := &page.Reflects{ID: last.SKU, Version: last.Version}
	for name, c1 := range map[string]struct {
		req  wire.ListProducts
		want []string
	}{
		"all":             {wire.ListProducts{Limit: 4}, []string{"POT", "TEA", "TEA-1", "TEA-2", "ZED", "tea"}},
		"sold":            {wire.ListProducts{Active: &yes, Limit: 1}, []string{"TEA-1", "TEA-2", "tea"}},
		"not sold":        {wire.ListProducts{Active: &no}, []string{"POT", "TEA", "ZED"}},
		"teas":            {wire.ListProducts{SKUPrefix: "TEA", Limit: 2}, []string{"TEA", "TEA-1", "TEA-2"}},
		"teas that sell":  {wire.ListProducts{SKUPrefix: "TEA", Active: &yes}, []string{"TEA-1", "TEA-2"}},
		"one":             {wire.ListProducts{SKUPrefix: "TEA-1"}, []string{"TEA-1"}},
		"nothing like it": {wire.ListProducts{SKUPrefix: "TEA-9"}, []string{}},
	} {
		for range 3 { // of two instances
			c1.req.Reflects = seen
			if diff := cmp.Diff(c1.want, skus(t, c, c1.req)); diff != "" {
				t.Errorf("%s: %s", name, diff)
			}
		}
	}
	p, err := rpc.Call(t.Context(), c, wire.List, wire.ListProducts{SKUPrefix: "TEA", Limit: 1, Reflects: seen})
	if err != nil {
		t.Fatal(err)
	}
	var e *contract.Error
	if _, err := rpc.Call(t.Context(), c, wire.List, wire.ListProducts{Active: &yes, SKUPrefix: "TEA", Cursor: p.NextCursor}); !errors.As(err, &e) || e.Field != "/cursor" {
		t.Errorf("a cursor of another list: %v", err)
	}
}

// TestOneSeesWhatOneHasWritten asks two instances, each with a view of its own, at once
// after each change.
func TestOneSeesWhatOneHasWritten(t *testing.T) {
	t.Parallel()
	c := serve(t)
	for i := range 40 {
		p := put(t, c, "SKU-"+strconv.Itoa(i), int64(i))
		got := skus(t, c, wire.ListProducts{Reflects: &page.Reflects{ID: p.SKU, Version: p.Version}})
		if len(got) != i+1 {
			t.Fatalf("after %d products the list has %d", i+1, len(got))
		}
		if p, err := rpc.Call(t.Context(), c, wire.Get, wire.GetProduct{SKU: p.SKU, MinVersion: p.Version}); err != nil || p.Version != 1 {
			t.Errorf("%+v, %v", p, err)
		}
	}
	for name, ask := range map[string]func(...rpc.CallOption) error{
		"get": func(opts ...rpc.CallOption) error {
			_, err := rpc.Call(t.Context(), c, wire.Get, wire.GetProduct{SKU: "SKU-1", MinVersion: 2}, opts...)
			return err
		},
		"list": func(opts ...rpc.CallOption) error {
			_, err := rpc.Call(t.Context(), c, wire.List, wire.ListProducts{Reflects: &page.Reflects{ID: "SKU-1", Version: 2}}, opts...)
			return err
		},
	} {
		var e *contract.Error
		if err := ask(rpc.WithTimeout(patience / 10)); !errors.As(err, &e) || e.Code != contract.Deadline || e.Reason != "version_not_reached" {
			t.Errorf("%s a version that does not come: %v", name, err)
		}
	}
	if _, err := rpc.Call(t.Context(), c, wire.List, wire.ListProducts{Reflects: &page.Reflects{ID: "none", Version: 1}}); !errors.Is(err, wire.ErrUnknown) {
		t.Errorf("a list that has seen nothing: %v", err)
	}
}
