package main

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/eventstore"
	"github.com/ordermesh/ordermesh/contracts/money"
	"github.com/ordermesh/ordermesh/contracts/orders"
	"github.com/ordermesh/ordermesh/contracts/postal"
)

// TestPolicyShadow asks rules about a past in which it is known what each customer had
// ordered when. MESH_LONG=1 has ten thousand orders in it.
func TestPolicyShadow(t *testing.T) {
	t.Parallel()
	customers, each := 40, 10
	if os.Getenv("MESH_LONG") != "" {
		customers, each = 500, 20
	}
	b := bustest.Server(t, bustest.WithServices(orders.Descriptor))
	past(t, b, customers, each)
	// The first order of each customer costs 100, the next 200 and so on; every other one
	// was cancelled, the rest paid. The rules held the third ones by then.
	rules := policyFile(t, `{"rules":[
		{"name":"first","when":"customer.orders == 0","then":"reject"},
		{"name":"dear","when":"order.total == 400 && customer.spent == 100 + 300 && customer.cancelled == 1 && now > customer.since","then":"hold"}
	],"otherwise":"accept"}`)
	code, out := runMesh(t, "policy", "shadow", acceptance, rules, "--nats", b.URL(), "--json", "--limit", "1")
	var r shadowReport
	if err := contract.Unmarshal([]byte(out), &r); err != nil || code != exitGood {
		t.Fatalf("exit code %d, %v: %s", code, err, out)
	}
	if r.Orders != customers*each || r.Would["reject"] != customers || r.Would["hold"] != customers || r.Failed != 0 ||
		r.Unruled != customers*(each-1) || len(r.Changed) != 1 {
		t.Errorf("%+v", r)
	}
	want := fmt.Sprintf("[{accept hold dear %[1]d} {accept reject first %[1]d} {hold accept  %[1]d}]", customers)
	if got := fmt.Sprint(r.Moves); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	t.Logf("%d orders, %d messages: %.0f ms", r.Orders, r.Read, r.TookMS)
	govern(t, exitGood, fmt.Sprintf("%d orders in ", customers*each), "shadow", acceptance, rules, "--nats", b.URL())
	govern(t, exitGood, "0 orders in ", "shadow", acceptance, rules, "--nats", b.URL(), "--since", "1h")
	govern(t, exitGood, "hold: rule dear", "test", acceptance, rules, "--order", "o7-3", "--nats", b.URL())
	govern(t, exitBad, "there is no order", "test", acceptance, rules, "--order", "o7-99", "--nats", b.URL())
	govern(t, exitBad, "no such value", "shadow", acceptance, "--nats", b.URL())
}

// past stores orders of a while ago.
func past(t *testing.T, b *bustest.Broker, customers, each int) {
	t.Helper()
	store := eventstore.NewEntity(eventstore.NewJetStreamLog(b.Dial(t), orders.Events.Info().Stream), orders.Events,
		func(_ struct{}, e []orders.Event) ([]orders.Event, error) { return e, nil },
		func(s struct{}, _ orders.Event) struct{} { return s })
	group, ctx := errgroup.WithContext(t.Context())
	for c := range customers {
		group.Go(func() error {
			for n := range each {
				id := fmt.Sprintf("o%d-%d", c, n)
				commits := [][]orders.Event{{pastOrder(c, n)}, {orders.OrderCancelled{Reason: "bored"}}}
				if n%2 == 0 {
					commits = [][]orders.Event{{pastOrder(c, n)}, {orders.OrderConfirmed{}}, {orders.OrderDispatched{}}, {orders.OrderShipped{}}, {orders.OrderDelivered{}}}
				}
				for i, events := range commits {
					if _, _, err := store.Do(ctx, id, fmt.Sprint(id, "-", i), events); err != nil {
						return err
					}
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
}

func pastOrder(customer, n int) orders.OrderPlaced {
	total := money.New(int64(100*(n+1)), "EUR")
	e := orders.OrderPlaced{
		CustomerID: fmt.Sprint("c", customer), Lines: []orders.Line{{SKU: "TEA", Name: strings.Repeat("Assam ", 5), Quantity: 1, UnitPrice: total}}, Total: total,
		PaymentReference: strings.Repeat("x", 120), ShipTo: postal.Address{Name: "Ada", Line1: "1 Main St", City: "Berlin", PostalCode: "10115", Country: "DE"},
		PlacedAt: time.Now().UTC().Add(-48*time.Hour + time.Duration(n)*time.Minute).Truncate(time.Microsecond),
	}
	if n == 2 {
		e.Acceptance = &orders.Acceptance{Outcome: orders.OutcomeHold, Rule: "third", Revision: 3}
	}
	return e
}
