package orders_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/rpc"
	"github.com/ordermesh/ordermesh/bus/telemetry"
	wire "github.com/ordermesh/ordermesh/contracts/orders"
	"github.com/ordermesh/ordermesh/contracts/page"
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

// TestListByTimeAndSearch: each order is seen at once by who has placed it, in a range of
// time and by the beginning of its id; a customer finds no order of another's.
func TestListByTimeAndSearch(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	var placed []wire.Order
	for i, id := range []string{"ab", "ab-1", "ab-2", "ac", "Ab-3"} {
		req := request([]string{"ada", "bob"}[i%2], "tok_ok")
		req.OrderID = id
		placed = append(placed, w.place(t, req))
		if got := w.pages(t, contract.Actor{}, wire.ListOrders{Reflects: &page.Reflects{ID: id, Version: 1}}); len(got) != i+1 || got[0] != id {
			t.Fatalf("after %s the list has %v", id, got)
		}
	}
	ada, bob := contract.Actor{Who: "gateway", For: "ada"}, contract.Actor{Who: "gateway", For: "bob"}
	staff := contract.Actor{} // of the last order of each that it may see, a list has to know
	at := func(i int) time.Time { return placed[i].PlacedAt }
	for name, c := range map[string]struct {
		as   contract.Actor
		req  wire.ListOrders
		want []string
	}{
		"a range":                  {staff, wire.ListOrders{From: at(1), Until: at(3)}, []string{"ab-2", "ab-1"}},
		"from a time":              {staff, wire.ListOrders{From: at(3)}, []string{"Ab-3", "ac"}},
		"until a time":             {staff, wire.ListOrders{Until: at(1)}, []string{"ab"}},
		"in another zone":          {staff, wire.ListOrders{Until: at(1).In(time.FixedZone("", -3600))}, []string{"ab"}},
		"of a customer":            {staff, wire.ListOrders{CustomerID: "ada", From: at(1)}, []string{"Ab-3", "ab-2"}},
		"for a customer":           {bob, wire.ListOrders{From: at(2)}, []string{"ac"}},
		"on hold":                  {staff, wire.ListOrders{Status: wire.OnHold, From: at(0)}, []string{}},
		"a search":                 {staff, wire.ListOrders{OrderIDPrefix: "ab"}, []string{"ab", "ab-1", "ab-2"}},
		"a search for all of it":   {staff, wire.ListOrders{OrderIDPrefix: "ab-1"}, []string{"ab-1"}},
		"a search in vain":         {staff, wire.ListOrders{OrderIDPrefix: "b"}, []string{}},
		"a search of a customer":   {staff, wire.ListOrders{OrderIDPrefix: "ab", CustomerID: "bob"}, []string{"ab-1"}},
		"a search for a customer":  {ada, wire.ListOrders{OrderIDPrefix: "ab"}, []string{"ab", "ab-2"}},
		"a search in another's":    {ada, wire.ListOrders{OrderIDPrefix: "ab", CustomerID: "bob"}, []string{}},
		"a search for all of ones": {ada, wire.ListOrders{OrderIDPrefix: "ac"}, []string{}},
	} {
		c.req.Limit, c.req.Reflects = 1, &page.Reflects{ID: map[string]string{"": "Ab-3", "ada": "Ab-3", "bob": "ac"}[c.as.For], Version: 1}
		if diff := cmp.Diff(c.want, w.pages(t, c.as, c.req)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	for name, c := range map[string]struct {
		as   contract.Actor
		seen page.Reflects
		want error
	}{
		"another's order":         {ada, page.Reflects{ID: "ac", Version: 1}, wire.ErrUnknown},
		"no order":                {ada, page.Reflects{ID: "none", Version: 1}, wire.ErrUnknown},
		"a version that is ahead": {ada, page.Reflects{ID: "ab", Version: 900}, wire.ErrNotReached},
	} {
		ctx := telemetry.WithActor(t.Context(), c.as)
		// A busy service may refuse these for a while: they wait behind everything else.
		bustest.Eventually(t, patience, func() bool {
			_, err := rpc.Call(ctx, w.client, wire.List, wire.ListOrders{Reflects: &c.seen}, rpc.WithTimeout(time.Second))
			return errors.Is(err, c.want)
		}, "a list that has seen ", name, " to be refused")
		bustest.Eventually(t, patience, func() bool {
			_, err := rpc.Call(ctx, w.client, wire.Report, wire.ReportOrders{Reflects: &c.seen}, rpc.WithTimeout(time.Second))
			return errors.Is(err, c.want)
		}, "a report that has seen ", name, " to be refused")
	}
}
