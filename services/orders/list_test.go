package orders_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/rpc"
	"github.com/ordermesh/ordermesh/bus/telemetry"
	wire "github.com/ordermesh/ordermesh/contracts/orders"
)

// pages goes through a whole list and returns the ids.
func (w *world) pages(t *testing.T, as contract.Actor, req wire.ListOrders) []string {
	t.Helper()
	ids := []string{}
	for {
		page, err := rpc.Call(telemetry.WithActor(t.Context(), as), w.client, wire.List, req)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range page.Orders {
			ids = append(ids, o.OrderID)
		}
		if req.Cursor = page.NextCursor; req.Cursor == "" {
			return ids
		}
	}
}

func TestListFiltersAndGoesPageByPage(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	var all, ada, gone []string
	for i := range 9 {
		customer, token := "ada", "tok_ok"
		if i%3 == 0 {
			customer = "bob"
		}
		if i%2 == 0 {
			token = "tok_declined"
		}
		id := w.place(t, request(customer, token)).OrderID
		all = append(all, id)
		if customer == "ada" {
			ada = append(ada, id)
			if token == "tok_declined" {
				gone = append(gone, id)
			}
		}
	}
	for _, ids := range [][]string{all, ada, gone} {
		slices.Reverse(ids)
	}
	nobody := contract.Actor{}
	bustest.Eventually(t, patience, func() bool {
		return len(w.pages(t, nobody, wire.ListOrders{Status: wire.Shipped})) == 4 &&
			len(w.pages(t, nobody, wire.ListOrders{Status: wire.Cancelled})) == 5
	}, "every checkout to be seen")
	for name, c := range map[string]struct {
		as   contract.Actor
		req  wire.ListOrders
		want []string
	}{
		"everything":            {nobody, wire.ListOrders{Limit: 2}, all},
		"on one page":           {nobody, wire.ListOrders{}, all},
		"of a customer":         {nobody, wire.ListOrders{CustomerID: "ada", Limit: 2}, ada},
		"of a customer, gone":   {nobody, wire.ListOrders{CustomerID: "ada", Status: wire.Cancelled, Limit: 1}, gone},
		"of nobody":             {nobody, wire.ListOrders{CustomerID: "eve"}, []string{}},
		"on hold":               {nobody, wire.ListOrders{Status: wire.OnHold}, []string{}},
		"for a customer":        {contract.Actor{Who: "gateway", For: "ada"}, wire.ListOrders{Limit: 3}, ada},
		"for another's":         {contract.Actor{Who: "gateway", For: "ada"}, wire.ListOrders{CustomerID: "bob"}, []string{}},
		"for a customer's gone": {contract.Actor{Who: "gateway", For: "ada"}, wire.ListOrders{Status: wire.Cancelled}, gone},
	} {
		if diff := cmp.Diff(c.want, w.pages(t, c.as, c.req)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	page, err := rpc.Call(t.Context(), w.client, wire.List, wire.ListOrders{Limit: 1})
	if err != nil || len(page.Orders) != 1 {
		t.Fatalf("%+v, %v", page, err)
	}
	o := w.get(t, page.Orders[0].OrderID)
	want := wire.Summary{OrderID: o.OrderID, CustomerID: o.CustomerID, Status: o.Status, Total: o.Total, PlacedAt: o.PlacedAt, Version: o.Version}
	if diff := cmp.Diff(want, page.Orders[0]); diff != "" {
		t.Error(diff)
	}
	var e *contract.Error
	_, err = rpc.Call(t.Context(), w.client, wire.List, wire.ListOrders{CustomerID: "ada", Cursor: page.NextCursor})
	if !errors.As(err, &e) || e.Code != contract.Invalid || e.Field != "/cursor" {
		t.Errorf("a cursor of another list: %v", err)
	}
}
