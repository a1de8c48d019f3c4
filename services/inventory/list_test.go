package inventory_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/rpc"
	wire "github.com/ordermesh/ordermesh/contracts/inventory"
	"github.com/ordermesh/ordermesh/contracts/line"
	"github.com/ordermesh/ordermesh/contracts/page"
)

func TestListOfStock(t *testing.T) {
	t.Parallel()
	c := serve(t, bustest.Server(t, bustest.WithServices(wire.Descriptor)), 2)
	for sku, n := range map[string]int64{"TEA-1": 100, "TEA-2": 9, "POT": 10, "CUP": 3} {
		stock(t, c, sku, n)
	}
	reservation(t, c, wire.Reserve, wire.ReserveLines{OrderID: "o1", Lines: []line.Line{{SKU: "POT", Quantity: 8}}})
	reservation(t, c, wire.Reserve, wire.ReserveLines{OrderID: "o2", Lines: []line.Line{{SKU: "CUP", Quantity: 3}}})
	reservation(t, c, wire.Commit, ref("o2"))
	number := func(n int64) *int64 { return &n }
	row := func(sku string, onHand, reserved int64, version uint64) wire.Stock {
		return wire.Stock{SKU: sku, OnHand: onHand, Reserved: reserved, Available: onHand - reserved, Version: version}
	}
	cup, pot, tea1, tea2 := row("CUP", 0, 0, 3), row("POT", 10, 8, 2), row("TEA-1", 100, 0, 1), row("TEA-2", 9, 0, 1)
	for name, want := range map[string]struct {
		req  wire.ListStock
		list []wire.Stock
	}{
		"all":           {wire.ListStock{}, []wire.Stock{cup, pot, tea1, tea2}},
		"teas":          {wire.ListStock{SKUPrefix: "TEA"}, []wire.Stock{tea1, tea2}},
		"short":         {wire.ListStock{AvailableBelow: number(9)}, []wire.Stock{cup, pot}},
		"shorter":       {wire.ListStock{AvailableBelow: number(10)}, []wire.Stock{cup, pot, tea2}},
		"out of stock":  {wire.ListStock{AvailableBelow: number(1)}, []wire.Stock{cup}},
		"nothing there": {wire.ListStock{SKUPrefix: "X"}, nil},
	} {
		for range 3 { // of two instances
			var got []wire.Stock
			want.req.Limit, want.req.Cursor = 1, ""
			want.req.Reflects = &page.Reflects{ID: "CUP", Version: 3} // the last of all changes
			for more := true; more; more = want.req.Cursor != "" {
				answer, err := rpc.Call(t.Context(), c, wire.List, want.req)
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, answer.Stock...)
				want.req.Cursor = answer.NextCursor
			}
			if diff := cmp.Diff(want.list, got); diff != "" {
				t.Errorf("%s: %s", name, diff)
			}
		}
	}
	if s, err := rpc.Call(t.Context(), c, wire.Get, wire.GetStock{SKU: "POT", MinVersion: 2}); err != nil || s != pot {
		t.Errorf("%+v, %v", s, err)
	}
	if _, err := rpc.Call(t.Context(), c, wire.List, wire.ListStock{Reflects: &page.Reflects{ID: "none", Version: 1}}); !errors.Is(err, wire.ErrNoStock) {
		t.Errorf("a list that has seen nothing: %v", err)
	}
}
