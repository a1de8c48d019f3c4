package main

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/contracts/orders"
)

// badInput is a request that must be refused, with the field that is to blame; ""
// where no single field is.
type badInput struct{ name, method, body, field string }

// with is the sample order after one replacement, which must take place.
func with(old, replacement string) string {
	if !strings.Contains(sampleOrder, old) {
		panic("the sample order has no " + old)
	}
	return strings.Replace(sampleOrder, old, replacement, 1)
}

func badInputs() []badInput {
	const (
		place    = "orders.place"
		quantity = `"quantity":2`
		sku      = `"sku":"TEA-001"`
		customer = `"customer_id":"c1"`
	)
	list := []badInput{
		{"unknown SKU", place, with("TEA-001", "TEA-999"), "/lines/0/sku"},
		{"quantity 0", place, with(quantity, `"quantity":0`), "/lines/0/quantity"},
		{"quantity -1", place, with(quantity, `"quantity":-1`), "/lines/0/quantity"},
		{"quantity 1.5", place, with(quantity, `"quantity":1.5`), "/lines/0/quantity"},
		{"quantity 2^63", place, with(quantity, `"quantity":9223372036854775808`), "/lines/0/quantity"},
		{"quantity 2^31", place, with(quantity, `"quantity":2147483648`), "/lines/0/quantity"},
		{"quantity 1e309", place, with(quantity, `"quantity":1e309`), "/lines/0/quantity"},
		{"quantity in quotes", place, with(quantity, `"quantity":"2"`), "/lines/0/quantity"},
		{"quantity null", place, with(quantity, `"quantity":null`), "/lines/0/quantity"},
		{"no lines", place, with(`[{"sku":"TEA-001","quantity":2}]`, `[]`), "/lines"},
		{"lines null", place, with(`[{"sku":"TEA-001","quantity":2}]`, `null`), "/lines"},
		{"1001 lines", place, with(`[{"sku":"TEA-001","quantity":2}]`, "["+strings.Repeat(`{"sku":"TEA-001","quantity":2},`, 1000)+`{"sku":"TEA-001","quantity":2}]`), "/lines"},
		{"SKU twice", place, with(`[{`, `[{"sku":"TEA-001","quantity":1},{`), "/lines/1/sku"},
		{"duplicate key", place, with(customer, customer+","+customer), "/customer_id"},
		{"duplicate key inside", place, with(sku, sku+","+sku), "/lines/0/sku"},
		{"wrong case", place, with("customer_id", "Customer_ID"), "/Customer_ID"},
		{"unknown member", place, with(customer, customer+`,"price":1`), "/price"},
		{"unknown member inside", place, with(sku, sku+`,"unit_price":1`), "/lines/0/unit_price"},
		{"NUL", place, with("Ada", `A\u0000da`), "/ship_to/name"},
		{"lone surrogate", place, with("Ada", `A\ud800da`), "/ship_to/name"},
		{"bad UTF-8", place, with("Ada", "A\xffda"), "/ship_to/name"},
		{"right-to-left override", place, with("Ada", "A\u202eda"), "/ship_to/name"},
		{"line break", place, with("Ada", `A\r\nda`), "/ship_to/name"},
		{"blank name", place, with("Ada", "  "), "/ship_to/name"},
		{"unknown country", place, with(`"DE"`, `"XX"`), "/ship_to/country"},
		{"long country", place, with(`"DE"`, `"Germany"`), "/ship_to/country"},
		{"no token", place, with("tok_ok", ""), "/payment/token"},
		{"wrong type", place, with(`{"token":"tok_ok"}`, `"tok_ok"`), "/payment"},
		{"no customer", place, with(customer+",", ""), "/customer_id"},
		{"deep", place, with(customer, `"customer_id":`+strings.Repeat("[", 5000)+strings.Repeat("]", 5000)), ""},
		{"oversize", place, with("Ada", strings.Repeat("a", 300<<10)), ""},
		{"empty payload", place, "", ""},
		{"null", place, "null", ""},
		{"array", place, "[]", ""},
		{"number", place, "7", ""},
		{"two values", place, sampleOrder + sampleOrder, ""},
		{"cut off", place, sampleOrder[:len(sampleOrder)-1], ""},
		{"not JSON", place, "customer=c1", ""},
		{"negative price", "catalog.put", `{"sku":"X","name":"x","price":{"amount":-1,"currency":"EUR"}}`, "/price/amount"},
		{"fraction of a cent", "catalog.put", `{"sku":"X","name":"x","price":{"amount":1.5,"currency":"EUR"}}`, "/price/amount"},
		{"unknown currency", "catalog.put", `{"sku":"X","name":"x","price":{"amount":1,"currency":"XXX"}}`, "/price/currency"},
		{"delta 0", "inventory.adjust", `{"sku":"X","delta":0,"reason":"r"}`, "/delta"},
		{"refund of 0", "orders.refund", `{"order_id":"o1","amount":{"amount":0,"currency":"EUR"},"reason":"r"}`, "/amount/amount"},
		{"refund of -1", "orders.refund", `{"order_id":"o1","amount":{"amount":-1,"currency":"EUR"},"reason":"r"}`, "/amount/amount"},
		{"refund of half a cent", "orders.refund", `{"order_id":"o1","amount":{"amount":0.5,"currency":"EUR"},"reason":"r"}`, "/amount/amount"},
		{"refund of 2^63", "orders.refund", `{"order_id":"o1","amount":{"amount":9223372036854775808,"currency":"EUR"},"reason":"r"}`, "/amount/amount"},
		{"refund of no number", "orders.refund", `{"order_id":"o1","amount":{"currency":"EUR"},"reason":"r"}`, "/amount/amount"},
		{"refund in no currency", "orders.refund", `{"order_id":"o1","amount":{"amount":1},"reason":"r"}`, "/amount/currency"},
		{"refund in an unknown currency", "orders.refund", `{"order_id":"o1","amount":{"amount":1,"currency":"ZZZ"},"reason":"r"}`, "/amount/currency"},
		{"refund without a reason", "orders.refund", `{"order_id":"o1"}`, "/reason"},
		{"approve with a line break", "orders.approve", `{"order_id":"o1","reason":"a\r\nb"}`, "/reason"},
		{"part of a payment without an id", "payments.refund", `{"order_id":"o1","amount":{"amount":1,"currency":"EUR"}}`, "/refund_id"},
		{"version 2^63", "orders.get", `{"order_id":"o1","min_version":9223372036854775808}`, "/min_version"},
		{"limit -1", "orders.list", `{"limit":-1}`, "/limit"},
		{"limit 1e9", "orders.list", `{"limit":1000000000}`, "/limit"},
		{"foreign cursor", "orders.list", `{"cursor":"!"}`, "/cursor"},
		{"odd status", "orders.list", `{"status":"odd"}`, "/status"},
		{"flow of no service", "flows.start", `{"flow":"checkout","id":"o1"}`, "/service"},
		{"service in no quotes", "flows.start", `{"service":7,"flow":"checkout","id":"o1"}`, "/service"},
		{"input of another type", "flows.start", `{"service":"orders","flow":"checkout","id":"o1","input":"o1"}`, "/input"},
		{"field of another type", "flows.start", `{"service":"orders","flow":"checkout","id":"o1","input":{"order_id":7}}`, "/input/order_id"},
		{"field inside of another type", "flows.start", `{"service":"orders","flow":"checkout","id":"o1","input":{"lines":[{"sku":"X","quantity":"1"}]}}`, "/input/lines/0/quantity"},
		{"unknown field of an input", "flows.start", `{"service":"orders","flow":"checkout","id":"o1","input":{"order":"o1"}}`, "/input/order"},
		{"input cut off", "flows.start", `{"service":"orders","flow":"checkout","id":"o1","input":{"order_id":}`, "/input/order_id"},
		{"input twice", "flows.start", `{"service":"orders","flow":"checkout","id":"o1","input":{"a":1,"a":2}}`, "/input/a"},
		{"input deep", "flows.start", `{"service":"orders","flow":"checkout","id":"o1","input":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}`, ""},
		{"input oversize", "flows.start", `{"service":"orders","flow":"checkout","id":"o1","input":"` + strings.Repeat("a", 300<<10) + `"}`, ""},
		{"version of a flow", "flows.start", `{"service":"orders","flow":"checkout","id":"o1","version":2}`, "/version"},
		{"no signal", "flows.signal", `{"service":"orders","flow":"checkout","id":"o1","signal_id":"s1"}`, "/signal"},
		{"no signal id", "flows.signal", `{"service":"orders","flow":"checkout","id":"o1","signal":"s"}`, "/signal_id"},
		{"no reason", "flows.cancel", `{"service":"orders","flow":"checkout","id":"o1"}`, "/reason"},
		{"flow *", "flows.retry", `{"service":"orders","flow":"*","id":"o1"}`, "/flow"},
		{"flow id >", "flows.get", `{"service":"orders","flow":"checkout","id":">"}`, "/id"},
		{"done is no status", "flows.list", `{"status":"done"}`, "/status"},
		{"age 0", "flows.list", `{"older_than":"0s"}`, "/older_than"},
		{"age without a unit", "flows.list", `{"younger_than":"7"}`, "/younger_than"},
		{"age as a number", "flows.list", `{"younger_than":7}`, "/younger_than"},
		{"no time", "flows.list", `{"started_after":"yesterday"}`, "/started_after"},
		{"limit 201", "flows.list", `{"limit":201}`, "/limit"},
		{"cursor of another list", "flows.list", `{"cursor":"MTIz"}`, "/cursor"},
	}
	for _, id := range []string{"*", ">", "a.b", "..", "a b", strings.Repeat("a", 65), strings.Repeat("a", 5000), "../../x", "%2e%2e", "é", "$JS"} {
		list = append(list,
			badInput{"order id " + cut(id), place, with("{", fmt.Sprintf(`{"order_id":%q,`, id)), "/order_id"},
			badInput{"customer " + cut(id), place, with(`"c1"`, fmt.Sprintf("%q", id)), "/customer_id"},
			badInput{"SKU " + cut(id), place, with("TEA-001", id), "/lines/0/sku"},
			badInput{"get " + cut(id), "orders.get", fmt.Sprintf(`{"order_id":%q}`, id), "/order_id"},
			badInput{"cancel " + cut(id), "orders.cancel", fmt.Sprintf(`{"order_id":%q,"reason":"r"}`, id), "/order_id"},
			badInput{"approve " + cut(id), "orders.approve", fmt.Sprintf(`{"order_id":%q}`, id), "/order_id"},
			badInput{"reject " + cut(id), "orders.reject", fmt.Sprintf(`{"order_id":%q}`, id), "/order_id"},
			badInput{"refund " + cut(id), "orders.refund", fmt.Sprintf(`{"order_id":%q,"reason":"r"}`, id), "/order_id"},
			badInput{"product " + cut(id), "catalog.get", fmt.Sprintf(`{"sku":%q}`, id), "/sku"},
		)
	}
	return list
}

func cut(s string) string { return s[:min(len(s), 8)] }

// TestBadInput: bad input is refused with a sentence that names the field; nothing is
// written and the service goes on.
func TestBadInput(t *testing.T) {
	t.Parallel()
	mesh := startMesh(t, devArgs("--ephemeral")...)
	s := mesh.shop()
	before := s.stored()
	for _, c := range badInputs() {
		_, refusal := s.ask(c.method, c.body)
		switch {
		case refusal == nil:
			t.Errorf("%s: accepted", c.name)
		case refusal.Code != contract.Invalid && refusal.Code != contract.Unprocessable:
			t.Errorf("%s: %v %v, want invalid or unprocessable", c.name, refusal.Code, refusal)
		case refusal.Field != c.field || refusal.Message == "" || len(refusal.Message) > 300:
			t.Errorf("%s: field %q, want %q: %s", c.name, refusal.Field, c.field, refusal.Message)
		}
	}
	if _, refusal := s.ask("orders.place", sampleOrder, "Idempotency-Key", strings.Repeat("k", 5000)); refusal == nil || refusal.Code != contract.Invalid {
		t.Errorf("a key of 5,000 characters: %v, want invalid", refusal)
	}
	if after := s.stored(); !maps.Equal(before, after) {
		t.Errorf("something was written: %v before, %v after", before, after)
	}
	if order := s.ended(s.place(sampleOrder).OrderID); order.Status != orders.Delivered {
		t.Errorf("a good order afterwards is %s", order.Status)
	}
	if strings.Contains(mesh.log.String(), `"level":"ERROR"`) {
		t.Errorf("bad input was logged as an error:\n%s", mesh.log)
	}
}

// stored is the last sequence of every stream that holds entities, flows or dead
// letters.
func (s shop) stored() map[string]uint64 {
	s.t.Helper()
	js, err := jetstream.New(s.nc)
	if err != nil {
		s.t.Fatal(err)
	}
	last := map[string]uint64{}
	streams := js.ListStreams(s.t.Context())
	for info := range streams.Info() {
		if name := info.Config.Name; name != "KV_"+contract.FlowLeaseKV && name != "KV_"+contract.ConfigStatusKV { // heartbeats
			last[info.Config.Name] = info.State.LastSeq
		}
	}
	if err := streams.Err(); err != nil {
		s.t.Fatal(err)
	}
	if len(last) < 5 {
		s.t.Fatalf("only %v", last)
	}
	return last
}
