package orders_test

import (
	"reflect"
	"testing"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/ext"

	"github.com/ordermesh/ordermesh/contracts/money"
	wire "github.com/ordermesh/ordermesh/contracts/orders"
	"github.com/ordermesh/ordermesh/services/orders"
)

// sampleOrder is about what an order is.
func sampleOrder() (wire.OrderPlaced, *wire.CustomerHistory) {
	now := time.Now().UTC()
	return wire.OrderPlaced{
		CustomerID: "c1", Total: money.New(7098, "EUR"), PlacedAt: now, ShipTo: request("c1", "tok_ok").ShipTo,
		Lines: []wire.Line{
			{SKU: "TEA-001", Name: "Assam", Quantity: 2, UnitPrice: money.New(1299, "EUR")},
			{SKU: "POT-001", Name: "Pot", Quantity: 1, UnitPrice: money.New(4500, "EUR")},
		},
	}, &wire.CustomerHistory{Orders: 3, Delivered: 2, Spent: 9000, Since: now.AddDate(0, -1, 0)}
}

// BenchmarkAcceptance is what three rules cost an order, from the order to the decision;
// BenchmarkCEL the same conditions with cel-go alone, over variables that are there.
func BenchmarkAcceptance(b *testing.B) {
	env, err := orders.NewRuleEnv()
	check(b, err)
	set, err := env.Parse([]byte(`{"rules":[
		{"name":"embargo","when":"order.country in ['KP', 'IR', 'SY']","then":"reject"},
		{"name":"first_big","when":"order.total > 50000 && customer.orders == 0","then":"hold"},
		{"name":"bulk","when":"order.lines.exists(l, l.quantity > 1000)","then":"hold"}],"otherwise":"accept"}`))
	check(b, err)
	placed, history := sampleOrder()
	b.ReportAllocs()
	for b.Loop() {
		if d := orders.Judge(set, 7, placed, history); d.Outcome != wire.OutcomeAccept {
			b.Fatal(d)
		}
	}
}

func BenchmarkCEL(b *testing.B) {
	env, err := cel.NewEnv(ext.NativeTypes(ext.ParseStructTag("json"), reflect.TypeFor[wire.RuleOrder](), reflect.TypeFor[wire.RuleCustomer]()),
		cel.Variable("order", cel.ObjectType("orders.RuleOrder")), cel.Variable("customer", cel.ObjectType("orders.RuleCustomer")))
	check(b, err)
	compiled, issues := env.Compile("order.country in ['KP', 'IR', 'SY'] || order.total > 50000 && customer.orders == 0 || order.lines.exists(l, l.quantity > 1000)")
	check(b, issues.Err())
	program, err := env.Program(compiled)
	check(b, err)
	placed, history := sampleOrder()
	input := placed.RuleInput(history)
	vars := map[string]any{"order": &input.Order, "customer": &input.Customer}
	b.ReportAllocs()
	for b.Loop() {
		if out, _, err := program.Eval(vars); err != nil || out.Value() != false {
			b.Fatal(out, err)
		}
	}
}
