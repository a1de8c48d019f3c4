package orders_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/rpc"
	"github.com/ordermesh/ordermesh/bus/telemetry"
	"github.com/ordermesh/ordermesh/contracts/money"
	wire "github.com/ordermesh/ordermesh/contracts/orders"
)

// figures asks for a report.
func (w *world) figures(t *testing.T, as contract.Actor, req wire.ReportOrders) wire.Figures {
	t.Helper()
	f, err := rpc.Call(telemetry.WithActor(t.Context(), as), w.client, wire.Report, req)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestReportIsAboutThoseThatTheCallerMaySee(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.place(t, request("ada", "tok_ok"))
	w.place(t, request("ada", "tok_declined"))
	w.place(t, request("bob", "tok_ok"))
	staff := contract.Actor{}
	bustest.Eventually(t, patience, func() bool {
		f := w.figures(t, staff, wire.ReportOrders{})
		return len(f.Days) == 1 && f.Days[0].ByStatus[wire.Shipped] == 2 && f.Days[0].ByStatus[wire.Cancelled] == 1
	}, "every checkout to be seen")
	eur := func(minor int64) money.Amount { return money.New(minor, "EUR") }
	const total = 2598 // of each
	sum := func(placed, captured, cancelled int64) wire.Revenue {
		return wire.Revenue{
			Orders: placed, Placed: eur(placed * total), Captured: eur(captured * total), Delivered: eur(0),
			Cancelled: eur(cancelled * total), Refunded: eur(0), Net: eur(captured * total),
		}
	}
	for name, c := range map[string]struct {
		as   contract.Actor
		req  wire.ReportOrders
		want []wire.Revenue
	}{
		"all":                    {staff, wire.ReportOrders{}, []wire.Revenue{sum(3, 2, 1)}},
		"a customer's":           {staff, wire.ReportOrders{CustomerID: "ada"}, []wire.Revenue{sum(2, 1, 1)}},
		"for a customer":         {contract.Actor{Who: "gateway", For: "bob"}, wire.ReportOrders{}, []wire.Revenue{sum(1, 1, 0)}},
		"for another's customer": {contract.Actor{Who: "gateway", For: "bob"}, wire.ReportOrders{CustomerID: "ada"}, []wire.Revenue{}},
		"of tomorrow":            {staff, wire.ReportOrders{From: time.Now().Add(time.Hour), Until: time.Now().Add(2 * time.Hour)}, []wire.Revenue{}},
	} {
		f := w.figures(t, c.as, c.req)
		if diff := cmp.Diff(c.want, f.Totals, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if len(c.want) == 0 && len(f.Days)+len(f.Revenue)+len(f.TopSKUs) > 0 {
			t.Errorf("%s: %+v", name, f)
		}
		if name == "for another's customer" && len(f.Open) > 0 {
			t.Errorf("%s: open %+v", name, f.Open)
		}
	}
	var e *contract.Error
	_, err := rpc.Call(t.Context(), w.client, wire.Report, wire.ReportOrders{From: time.Now().Add(time.Hour)})
	if !errors.As(err, &e) || e.Code != contract.Invalid || e.Field != "/until" {
		t.Errorf("a range that ends before it begins: %v", err)
	}
}
