package orders_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/contracts/golden"
	"github.com/ordermesh/ordermesh/contracts/line"
	"github.com/ordermesh/ordermesh/contracts/money"
	"github.com/ordermesh/ordermesh/contracts/orders"
	"github.com/ordermesh/ordermesh/contracts/page"
	"github.com/ordermesh/ordermesh/contracts/postal"
)

const order = "k3v5w2q7a4m6x2c3z5y7b2d4f6"

var (
	at     = time.Date(2026, 11, 24, 9, 30, 0, 123000000, time.UTC)
	shipTo = postal.Address{Name: "Ada", Line1: "1 Main St", City: "Berlin", PostalCode: "10115", Country: "DE"}
	lines  = []orders.Line{{SKU: "TEA-001", Name: "Assam, 100 g", Quantity: 2, UnitPrice: money.New(1299, "EUR")}}
)

func place() orders.PlaceOrder {
	return orders.PlaceOrder{
		OrderID: order, CustomerID: "c1", Lines: []line.Line{{SKU: "TEA-001", Quantity: 2}},
		Payment: orders.PaymentMethod{Token: "tok_ok"}, ShipTo: shipTo,
	}
}

func placed() orders.OrderPlaced {
	return orders.OrderPlaced{
		CustomerID: "c1", Lines: lines, Total: money.New(2598, "EUR"), PaymentReference: "sr1.abcd1234.AAECAwQFBgc",
		ShipTo: shipTo, RequestHash: "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU", PlacedAt: at,
		Acceptance: acceptance(),
	}
}

func acceptance() *orders.Acceptance {
	return &orders.Acceptance{
		Outcome: orders.OutcomeHold, Rule: "first_big", Reason: "a large first order", Revision: 7,
		Customer: &orders.CustomerHistory{Orders: 3, Cancelled: 1, Delivered: 2, Spent: 5196, Since: at}, Error: "division by zero",
	}
}

func TestContract(t *testing.T) {
	t.Parallel()
	view := orders.Order{
		OrderID: order, CustomerID: "c1", Status: orders.Cancelled, Lines: lines,
		Charges: []orders.Charge{{Name: "delivery", Amount: money.New(490, "EUR")}}, Total: money.New(3088, "EUR"),
		PaymentID: "ch_7", ShipmentID: "tr_7", Reason: "changed my mind", PlacedAt: at, Version: 1,
		Acceptance: acceptance(),
		Hold:       &orders.Hold{Reason: orders.HoldOverLimit, Until: at, Decision: orders.Approved, Note: "a good customer"},
		Refunded:   money.New(490, "EUR"),
		Refunds: []orders.OrderRefund{{
			RefundID: "rf_7", Amount: money.New(490, "EUR"), Reason: "late", Status: orders.RefundFailed, Failure: "not captured",
		}},
		History: []orders.Change{{Type: "order.placed.v1", At: at, Version: 1, Note: "hold by rule first_big, revision 7"}},
	}
	summary := orders.Summary{OrderID: order, CustomerID: "c1", Status: orders.Delivered, Total: money.New(2598, "EUR"), PlacedAt: at, Version: 5}
	s := golden.New(t)
	golden.Method(s, orders.Place, place(), view)
	golden.Method(s, orders.Get, orders.GetOrder{OrderID: order, MinVersion: 5}, view)
	golden.Method(s, orders.List, orders.ListOrders{
		CustomerID: "c1", Status: orders.OnHold, From: at.AddDate(0, 0, -7), Until: at,
		Reflects: &page.Reflects{ID: order, Version: 5}, Limit: 20, Cursor: "MTIz",
	},
		orders.Orders{Orders: []orders.Summary{summary}, NextCursor: "MTIz", Behind: 2})
	golden.Value(s, "orders.list.search", orders.ListOrders{CustomerID: "c1", OrderIDPrefix: "k3v5"})
	eur := func(minor int64) money.Amount { return money.New(minor, "EUR") }
	revenue := orders.Revenue{
		Orders: 3, Placed: eur(7794), Captured: eur(5196), Delivered: eur(2598), Cancelled: eur(1299), Refunded: eur(490), Net: eur(4706),
	}
	ofDay := revenue
	ofDay.Day = "2026-11-24"
	golden.Method(s, orders.Report, orders.ReportOrders{CustomerID: "c1", From: at.AddDate(0, 0, -7), Until: at, Reflects: &page.Reflects{ID: order, Version: 5}, Top: 5},
		orders.Figures{
			From: at.AddDate(0, 0, -7), Until: at, Behind: 2, Halted: true,
			Days:    []orders.Day{{Day: "2026-11-24", Orders: 3, ByStatus: map[orders.Status]int64{orders.Delivered: 2, orders.OnHold: 1}}},
			Revenue: []orders.Revenue{ofDay}, Totals: []orders.Revenue{revenue},
			TopSKUs: []orders.SKUSales{{SKU: "TEA-001", Orders: 2, Quantity: 4, Revenue: eur(5196)}},
			Open: []orders.OpenOrders{{
				Status: orders.OnHold, Orders: 15, Under1Hour: 1, Under1Day: 2, Under3Days: 3, Under7Days: 4, Older: 5, Oldest: at, OldestOrder: order,
			}},
		})
	golden.Method(s, orders.Cancel, orders.CancelOrder{OrderID: order, Reason: "changed my mind", IfVersion: 2}, view)
	decide := orders.DecideOrder{OrderID: order, Reason: "a good customer"}
	golden.Method(s, orders.Approve, decide, view)
	golden.Method(s, orders.Reject, decide, view)
	part := money.In(money.New(490, "EUR"))
	golden.Method(s, orders.Refund, orders.RefundOrder{OrderID: order, Amount: &part, Reason: "late"}, view)
	for _, e := range []orders.Event{
		placed(),
		orders.OrderConfirmed{PaymentID: "ch_7"},
		orders.OrderDispatched{},
		orders.OrderShipped{ShipmentID: "tr_7", Due: at},
		orders.OrderDelivered{},
		orders.OrderCancelled{Reason: orders.ReasonOutOfStock},
		orders.OrderHeld{Reason: orders.HoldOverLimit, Until: at},
		orders.OrderApproved{Reason: "a good customer"},
		orders.OrderRejected{Reason: "a bad address"},
		orders.OrderRefundRequested{RefundID: "rf_7", Amount: money.New(490, "EUR"), Reason: "late"},
		orders.OrderRefunded{RefundID: "rf_7", Amount: money.New(490, "EUR"), Refunded: money.New(980, "EUR")},
		orders.OrderRefundFailed{RefundID: "rf_7", Reason: "not captured"},
	} {
		golden.Event(s, orders.Events, e)
	}
	golden.Value(s, "acceptance.variables", placed().RuleInput(acceptance().Customer))
	lifted := placed()
	lifted.RequestHash, lifted.Acceptance = "", nil
	golden.Old[orders.Event](s, orders.Events, "order.placed.v0", lifted)
	s.Complete(orders.Descriptor)
}

func TestValidate(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*orders.PlaceOrder)
		code   contract.Code
		field  string
	}{
		"order id *":        {func(r *orders.PlaceOrder) { r.OrderID = "*" }, contract.Invalid, "/order_id"},
		"order id >":        {func(r *orders.PlaceOrder) { r.OrderID = ">" }, contract.Invalid, "/order_id"},
		"order id a.b":      {func(r *orders.PlaceOrder) { r.OrderID = "a.b" }, contract.Invalid, "/order_id"},
		"order id too long": {func(r *orders.PlaceOrder) { r.OrderID = strings.Repeat("a", 65) }, contract.Invalid, "/order_id"},
		"no customer":       {func(r *orders.PlaceOrder) { r.CustomerID = "" }, contract.Invalid, "/customer_id"},
		"no lines":          {func(r *orders.PlaceOrder) { r.Lines = nil }, contract.Unprocessable, "/lines"},
		"quantity 0":        {func(r *orders.PlaceOrder) { r.Lines[0].Quantity = 0 }, contract.Unprocessable, "/lines/0/quantity"},
		"no token":          {func(r *orders.PlaceOrder) { r.Payment.Token = "" }, contract.Invalid, "/payment/token"},
		"token with NUL":    {func(r *orders.PlaceOrder) { r.Payment.Token = "tok\x00" }, contract.Invalid, "/payment/token"},
		"no name":           {func(r *orders.PlaceOrder) { r.ShipTo.Name = "" }, contract.Invalid, "/ship_to/name"},
		"bidi override":     {func(r *orders.PlaceOrder) { r.ShipTo.Name = "a\u202eb" }, contract.Invalid, "/ship_to/name"},
		"unknown country":   {func(r *orders.PlaceOrder) { r.ShipTo.Country = "XX" }, contract.Unprocessable, "/ship_to/country"},
	} {
		r := place()
		c.change(&r)
		refused(t, name, r, c.code, c.field)
	}
	refused(t, "get nothing", orders.GetOrder{}, contract.Invalid, "/order_id")
	refused(t, "get version 2^63", orders.GetOrder{OrderID: order, MinVersion: 1 << 63}, contract.Invalid, "/min_version")
	refused(t, "list odd status", orders.ListOrders{Status: "odd"}, contract.Invalid, "/status")
	refused(t, "list customer *", orders.ListOrders{CustomerID: "*"}, contract.Invalid, "/customer_id")
	refused(t, "list until before from", orders.ListOrders{From: at, Until: at.Add(-1)}, contract.Invalid, "/until")
	refused(t, "search *", orders.ListOrders{OrderIDPrefix: "*"}, contract.Invalid, "/order_id_prefix")
	refused(t, "search in a time", orders.ListOrders{OrderIDPrefix: "a", Until: at}, contract.Invalid, "/order_id_prefix")
	refused(t, "search with a status", orders.ListOrders{OrderIDPrefix: "a", Status: orders.Placed}, contract.Invalid, "/order_id_prefix")
	refused(t, "list reflects version", orders.ListOrders{Reflects: &page.Reflects{ID: order, Version: 1 << 40}}, contract.Invalid, "/reflects/version")
	refused(t, "report reflects >", orders.ReportOrders{Reflects: &page.Reflects{ID: ">"}}, contract.Invalid, "/reflects/id")
	refused(t, "report customer >", orders.ReportOrders{CustomerID: ">"}, contract.Invalid, "/customer_id")
	refused(t, "report until before from", orders.ReportOrders{From: at, Until: at}, contract.Invalid, "/until")
	refused(t, "report of years", orders.ReportOrders{From: at.AddDate(-2, 0, 0), Until: at}, contract.Invalid, "/until")
	refused(t, "report top 101", orders.ReportOrders{Top: 101}, contract.Invalid, "/top")
	refused(t, "cancel without reason", orders.CancelOrder{OrderID: order}, contract.Invalid, "/reason")
	refused(t, "approve *", orders.DecideOrder{OrderID: "*"}, contract.Invalid, "/order_id")
	refused(t, "reject with escape", orders.DecideOrder{OrderID: order, Reason: "\x1b[2J"}, contract.Invalid, "/reason")
	refused(t, "cancel with escape", orders.CancelOrder{OrderID: order, Reason: "\x1b[2J"}, contract.Invalid, "/reason")
}

func TestValidateRefund(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		amount money.Input
		code   contract.Code
		field  string
	}{
		"nothing":          {money.In(money.New(0, "EUR")), contract.Unprocessable, "/amount/amount"},
		"less":             {money.In(money.New(-1, "EUR")), contract.Unprocessable, "/amount/amount"},
		"no number":        {money.Input{Currency: "EUR"}, contract.Invalid, "/amount/amount"},
		"unknown currency": {money.In(money.New(1, "ZZZ")), contract.Unprocessable, "/amount/currency"},
		"no currency":      {money.In(money.New(1, "")), contract.Invalid, "/amount/currency"},
	} {
		refused(t, name, orders.RefundOrder{OrderID: order, Amount: &c.amount, Reason: "late"}, c.code, c.field)
	}
	refused(t, "refund >", orders.RefundOrder{OrderID: ">", Reason: "late"}, contract.Invalid, "/order_id")
	refused(t, "refund without reason", orders.RefundOrder{OrderID: order}, contract.Invalid, "/reason")
	if err := (orders.RefundOrder{OrderID: order, Reason: "late"}).Validate(); err != nil {
		t.Errorf("a refund of all that is left: %v", err)
	}
}

func refused(t *testing.T, name string, r contract.Validator, code contract.Code, field string) {
	t.Helper()
	var e *contract.Error
	if err := r.Validate(); !errors.As(err, &e) || e.Code != code || e.Field != field {
		t.Errorf("%s: %v, want %v at %s", name, err, code, field)
	}
}

func TestDeriveID(t *testing.T) {
	t.Parallel()
	shop := contract.Actor{Who: "gateway", For: "c1"}
	id := orders.DeriveID(shop, "key-1")
	if id != "o6vzvvb2rjzlif2bt34trocgyz" {
		t.Errorf("%s: ids of orders that were placed before have changed", id)
	}
	if !contract.ValidID(id) || len(id) != 26 {
		t.Errorf("%q is no id of 26 characters", id)
	}
	if other := orders.DeriveID(contract.Actor{Who: "gateway", For: "c2"}, "key-1"); other == id {
		t.Error("two customers share an order id")
	}
	if fresh := orders.NewID(); !contract.ValidID(fresh) || fresh == orders.NewID() {
		t.Errorf("%q is not fresh", fresh)
	}
}
