package orders_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/config"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/eventstore"
	"github.com/ordermesh/ordermesh/bus/rpc"
	"github.com/ordermesh/ordermesh/bus/telemetry"
	"github.com/ordermesh/ordermesh/bus/view"
	"github.com/ordermesh/ordermesh/contracts/line"
	wire "github.com/ordermesh/ordermesh/contracts/orders"
	"github.com/ordermesh/ordermesh/services/orders"
	ordersview "github.com/ordermesh/ordermesh/services/orders/view"
)

const rulesKey = "orders." + wire.AcceptancePolicy

// rule writes the rules, or deletes them with "", and waits until every instance has
// looked at them.
func (w *world) rule(t *testing.T, instances int, text string) uint64 {
	t.Helper()
	store, err := config.OpenDocuments(t.Context(), w.conn)
	check(t, err)
	entries, err := store.Entries(t.Context(), rulesKey)
	check(t, err)
	var revision uint64
	if text == "" {
		check(t, store.Delete(t.Context(), config.Last(entries, rulesKey)))
		entries, err = store.Entries(t.Context(), rulesKey)
		check(t, err)
		revision = config.Last(entries, rulesKey).Revision
	} else {
		revision, err = store.Put(t.Context(), config.Last(entries, rulesKey), text)
		check(t, err)
	}
	bustest.Eventually(t, patience, func() bool {
		running, err := store.Instances(t.Context(), "orders", wire.AcceptancePolicy)
		n := 0
		for _, i := range running {
			if i.Revision >= revision {
				n++
			}
		}
		return err == nil && n == instances
	}, "every instance to look at revision ", revision)
	return revision
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// rules are the rules of most tests: pots are not sold, and more than one first order of
// tea waits for a person.
const rules = `{"rules":[
	{"name":"pots","when":"order.lines.exists(l, l.sku == 'POT-001')","then":"reject","reason":"no pots today"},
	{"name":"first_big","when":"order.total > 2000 && customer.orders == 0","then":"hold","reason":"a large first order"}],
	"otherwise":"accept"}`

// TestWithoutRules: an order says nothing of rules that are not there.
func TestWithoutRules(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	o := w.reaches(t, w.place(t, request("c1", "tok_ok")).OrderID, wire.Shipped)
	if o.Acceptance != nil || o.History[0].Note != "" {
		t.Errorf("%+v", o)
	}
}

// TestRulesHold: an order that the rules hold waits for a person like any other, and says
// which rule of which revision it was and what that saw.
func TestRulesHold(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	revision := w.rule(t, 2, rules)
	o := w.reaches(t, w.place(t, request("c1", "tok_ok")).OrderID, wire.OnHold)
	want := &wire.Acceptance{
		Outcome: wire.OutcomeHold, Rule: "first_big", Reason: "a large first order", Revision: revision,
		Customer: &wire.CustomerHistory{Since: o.PlacedAt},
	}
	if diff := cmp.Diff(want, o.Acceptance); diff != "" {
		t.Error(diff)
	}
	if o.Hold.Reason != "a large first order" || o.History[0].Note != fmt.Sprintf("hold by rule first_big, revision %d", revision) {
		t.Errorf("%+v, %+v", o.Hold, o.History)
	}
	if stock, money, _ := w.at(o.OrderID); stock != "" || money != "" {
		t.Errorf("for an order on hold stock is %s and money %s", stock, money)
	}
	_, err := w.decide(t.Context(), wire.Approve, o.OrderID)
	check(t, err)
	w.reaches(t, o.OrderID, wire.Shipped)

	// The second order of the customer is not the first one.
	bustest.Eventually(t, patience, func() bool {
		o = w.get(t, w.place(t, request("c1", "tok_ok")).OrderID)
		return o.Acceptance.Customer.Spent > 0 // and not only placed
	}, "the first order to be known")
	if o.Acceptance.Outcome != wire.OutcomeAccept || o.Acceptance.Rule != "" || o.Acceptance.Customer.Spent == 0 {
		t.Errorf("%+v, %+v", o.Acceptance, o.Acceptance.Customer)
	}
	w.reaches(t, o.OrderID, wire.Shipped)
}

// TestRulesReject: an order that the rules reject is refused with a reason, also when it is
// placed again, after the rules have changed, too; and what was decided is stored.
func TestRulesReject(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	revision := w.rule(t, 1, rules)
	req := request("c1", "tok_ok", line.Line{SKU: "POT-001", Quantity: 1})
	req.OrderID = "pot1"
	for range 2 {
		_, err := rpc.Call(t.Context(), w.client, wire.Place, req)
		if !errors.Is(err, wire.ErrNotAccepted) || !strings.Contains(err.Error(), "pot1 is not accepted: no pots today") {
			t.Errorf("place: %v", err)
		}
		w.rule(t, 1, `{"rules":[],"otherwise":"accept"}`)
	}
	o := w.get(t, "pot1")
	if o.Status != wire.Cancelled || o.Reason != "no pots today" || o.Acceptance.Revision != revision || o.Acceptance.Rule != "pots" {
		t.Errorf("%+v, %+v", o, o.Acceptance)
	}
	if diff := cmp.Diff([]string{"order.placed.v1", "order.cancelled.v1"}, types(o)); diff != "" {
		t.Error(diff)
	}
	// A later order has gone its whole way, so the rejected one has had its time.
	w.reaches(t, w.place(t, request("c1", "tok_ok")).OrderID, wire.Shipped)
	if stock, money, parcels := w.at("pot1"); stock != "" || money != "" || parcels != 0 {
		t.Errorf("for a rejected order stock is %s, money %s, parcels %d", stock, money, parcels)
	}
	if _, err := rpc.Call(t.Context(), w.client, wire.Cancel, wire.CancelOrder{OrderID: "pot1", Reason: "bored"}); err != nil {
		t.Errorf("cancelling it changes nothing: %v", err)
	}
}

// TestCustomersAreNotToldTheRules: who acts for a customer sees neither rules nor what was
// known, with the order's reason alone.
func TestCustomersAreNotToldTheRules(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.rule(t, 1, rules)
	customer := telemetry.WithActor(t.Context(), contract.Actor{Who: "shop", For: "c1"})
	req := request("c1", "tok_ok")
	req.OrderID = "tea1"
	for range 2 {
		o, err := rpc.Call(customer, w.client, wire.Place, req)
		if err != nil || o.Acceptance != nil || o.History[0].Note != "" {
			t.Errorf("%+v, %v", o, err)
		}
	}
	w.reaches(t, "tea1", wire.OnHold)
	o, err := rpc.Call(customer, w.client, wire.Get, wire.GetOrder{OrderID: "tea1"})
	if err != nil || o.Acceptance != nil || o.History[0].Note != "" || o.Hold.Reason != "a large first order" {
		t.Errorf("%+v, %v", o, err)
	}
}

// TestBadRules: rules that cannot be used change nothing, and deleted ones decide nothing.
func TestBadRules(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	good := w.rule(t, 1, `{"rules":[],"otherwise":"hold"}`)
	for _, bad := range []string{
		"no rules", `{"rules":[],"otherwise":"maybe"}`, `{"rules":[{"name":"a","when":"order.totl > 1","then":"hold"}],"otherwise":"accept"}`,
		`{"rules":[{"name":"a","when":"order.lines.all(a, order.lines.all(b, a.sku + b.sku != a.sku))","then":"hold"}],"otherwise":"accept"}`,
		`{"rules":[],"otherwise":"accept"}` + strings.Repeat(" ", 4096),
	} {
		w.rule(t, 1, bad)
		o := w.place(t, request("c1", "tok_ok"))
		if o.Acceptance == nil || o.Acceptance.Revision != good || o.Acceptance.Outcome != wire.OutcomeHold || o.Acceptance.Reason != wire.ReasonNoRule {
			t.Errorf("after %.60q: %+v", bad, o.Acceptance)
		}
	}
	w.rule(t, 1, "")
	if o := w.reaches(t, w.place(t, request("c1", "tok_ok")).OrderID, wire.Shipped); o.Acceptance != nil {
		t.Errorf("%+v", o.Acceptance)
	}
}

// TestFailingRulesHold: a rule that cannot be evaluated holds the order, and so does a
// customer's history that cannot be read.
func TestFailingRulesHold(t *testing.T) {
	t.Parallel()
	w := newWorldWith(t, 1, orders.Config{View: &blind{Memory: ordersview.NewMemory()}})
	w.rule(t, 1, `{"rules":[{"name":"odd","when":"order.total / (order.quantity - 2) > 5","then":"reject"}],"otherwise":"accept"}`)
	o := w.reaches(t, w.place(t, request("c1", "tok_ok")).OrderID, wire.OnHold)
	if a := o.Acceptance; a.Outcome != wire.OutcomeHold || a.Rule != "odd" || a.Reason != wire.ReasonRuleFailed || !strings.Contains(a.Error, "division by zero") || a.Customer != nil {
		t.Errorf("%+v", a)
	}
	w.rule(t, 1, rules)
	o = w.reaches(t, w.place(t, request("c1", "tok_ok")).OrderID, wire.OnHold)
	if a := o.Acceptance; a.Rule != "" || a.Reason != wire.ReasonRuleFailed || !strings.Contains(a.Error, errBlind.Error()) {
		t.Errorf("%+v", a)
	}
}

var errBlind = errors.New("nothing can be seen")

// blind is a view that knows no customer.
type blind struct{ *ordersview.Memory }

func (b *blind) Customer(context.Context, string) (ordersview.Summary, error) {
	return ordersview.Summary{}, errBlind
}

// TestRulesWaitForTheView: while an instance reads what customers have ordered before, no
// order is decided about by rules that ask for it; those that do not go on.
func TestRulesWaitForTheView(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 0)
	past := eventstore.NewEntity(eventstore.NewJetStreamLog(w.conn, wire.Events.Info().Stream), wire.Events,
		func(_ struct{}, e wire.Event) ([]wire.Event, error) { return []wire.Event{e}, nil },
		func(s struct{}, _ wire.Event) struct{} { return s })
	for i := range 300 {
		_, _, err := past.Do(t.Context(), fmt.Sprint("old", i), "", wire.OrderRefunded{}) // nobody does anything about it
		check(t, err)
	}
	view := &gated{Memory: ordersview.NewMemory(), open: make(chan struct{})}
	s, err := orders.New(w.broker.Dial(t, bustest.WithService("orders")), orders.Config{View: view})
	check(t, err)
	bustest.Run(t, s)
	w.rule(t, 1, `{"rules":[{"name":"a","when":"order.total > 1","then":"hold"}],"otherwise":"accept"}`)
	if o := w.place(t, request("c1", "tok_ok")); o.Acceptance.Outcome != wire.OutcomeHold {
		t.Errorf("%+v", o.Acceptance)
	}
	w.rule(t, 1, rules)
	short, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	if _, err := rpc.Call(short, w.client, wire.Place, request("c1", "tok_ok")); !errors.Is(err, wire.ErrHistory) {
		t.Errorf("while the view is read: %v", err)
	}
	close(view.open)
	if o := w.place(t, request("c1", "tok_ok")); o.Acceptance == nil || o.Acceptance.Customer == nil {
		t.Errorf("%+v", o.Acceptance)
	}
}

// gated is a view that takes nothing in until it is open.
type gated struct {
	*ordersview.Memory
	open chan struct{}
}

func (g *gated) Apply(ctx context.Context, from, to view.Checkpoint, changes []view.Change[ordersview.Row]) error {
	select {
	case <-g.open:
	case <-ctx.Done():
		return ctx.Err()
	}
	return g.Memory.Apply(ctx, from, to, changes)
}

// TestRulesChangeUnderLoad: while the rules change a hundred times a second, each order
// says which revision has decided about it, and that is what the revision says.
func TestRulesChangeUnderLoad(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3)
	store, err := config.OpenDocuments(t.Context(), w.conn)
	check(t, err)
	limits := map[uint64]int64{} // of pieces, by revision
	var last config.Entry
	change := func(limit int64) {
		last.Key = rulesKey
		last.Revision, err = store.Put(t.Context(), last,
			fmt.Sprintf(`{"rules":[{"name":"limit","when":"order.quantity > %d","then":"reject","reason":"more than %d"}],"otherwise":"accept"}`, limit, limit))
		check(t, err)
		limits[last.Revision] = limit
	}
	change(5)
	first := last.Revision
	done, cancel := context.WithCancel(t.Context())
	var mu sync.Mutex
	var placed []string
	var clients sync.WaitGroup
	for c := range 4 {
		clients.Go(func() {
			for i := 0; done.Err() == nil; i++ {
				req := request("c1", "tok_ok", line.Line{SKU: "TEA-001", Quantity: int64(1 + i%10)})
				req.OrderID = fmt.Sprintf("o%d-%d", c, i)
				_, err := rpc.Call(t.Context(), w.client, wire.Place, req)
				if err != nil && !errors.Is(err, wire.ErrNotAccepted) {
					t.Error(err)
					return
				}
				mu.Lock()
				placed = append(placed, req.OrderID)
				mu.Unlock()
			}
		})
	}
	pace := time.NewTicker(10 * time.Millisecond)
	defer pace.Stop()
	for i := range int64(60) {
		<-pace.C
		change(1 + i%9)
	}
	cancel()
	clients.Wait()
	revisions, outcomes := map[uint64]bool{}, map[wire.Outcome]int{}
	for _, id := range placed {
		o := w.get(t, id)
		a := o.Acceptance
		if a == nil { // before any rule was there
			continue
		}
		revisions[a.Revision] = true
		outcomes[a.Outcome]++
		limit, known := limits[a.Revision]
		rejects := o.Lines[0].Quantity > limit
		if !known || rejects != (a.Outcome == wire.OutcomeReject) || (rejects && o.Reason != fmt.Sprintf("more than %d", limit)) {
			t.Errorf("%s with %d pieces: %+v, the limit of revision %d is %d", id, o.Lines[0].Quantity, a, a.Revision, limit)
		}
	}
	t.Logf("%d orders, %d revisions decided: %v", len(placed), len(revisions), outcomes)
	if len(revisions) < 5 || outcomes[wire.OutcomeReject] == 0 || outcomes[wire.OutcomeAccept] == 0 {
		t.Errorf("%d revisions from %d, %v: nothing was shown", len(revisions), first, outcomes)
	}
	final := w.rule(t, 3, `{"rules":[],"otherwise":"hold"}`)
	for range 6 {
		if a := w.place(t, request("c1", "tok_ok")).Acceptance; a.Revision != final || a.Outcome != wire.OutcomeHold {
			t.Errorf("after the last change: %+v", a)
		}
	}
}
