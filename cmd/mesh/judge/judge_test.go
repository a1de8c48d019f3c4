package judge

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/contracts/inventory"
	"github.com/ordermesh/ordermesh/contracts/payments"
	"github.com/ordermesh/ordermesh/contracts/sandbox"
)

// verdict judges the first n acts.
func verdict(t testing.TB, w *world, n int, opts Options) Report {
	t.Helper()
	r, err := judge(t.Context(), w.tell(n), opts)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func atRest(t testing.TB, w *world) Report {
	t.Helper()
	return verdict(t, w, len(w.acts), Options{AtRest: true})
}

func wantClean(t testing.TB, r Report) {
	t.Helper()
	for _, c := range r.Checks {
		for _, f := range c.Findings {
			t.Errorf("%s: %s (%s, message %d): expected %s, is %s", c.Name, f.Entity, f.Subject, f.Sequence, f.Expected, f.Is)
		}
	}
	if r.Clean == t.Failed() {
		t.Errorf("Clean is %v", r.Clean)
	}
}

func TestGoodHistoryIsClean(t *testing.T) {
	t.Parallel()
	w := good(t)
	r := atRest(t, w)
	wantClean(t, r)
	for _, c := range r.Checks {
		if c.Looked == 0 && c.Name != checkAcked {
			t.Errorf("the check %s looked at nothing", c.Name)
		}
	}
	if got, want := fmt.Sprint(r.Totals.Orders), "map[cancelled:7 delivered:3 on_hold:1]"; got != want {
		t.Errorf("orders %s, want %s", got, want)
	}
	if r.Totals.OnHand != 2*capacity-9 || r.Totals.Sold != 12 || r.Totals.Restocked != 3 || r.Totals.Reserved != 0 {
		t.Errorf("stock %+v", r.Totals)
	}
}

// While the mesh works, its history may end after any act.
func TestEveryMomentOfAGoodHistoryIsClean(t *testing.T) {
	t.Parallel()
	w := good(t)
	for n := 1; n <= len(w.acts); n++ {
		r := verdict(t, w, n, Options{})
		if wantClean(t, r); t.Failed() {
			t.Fatalf("after act %d: %s", n, w.acts[n-1].subject)
		}
	}
}

// At rest no act can be missing.
func TestEveryMissingActIsFound(t *testing.T) {
	t.Parallel()
	harmless := []string{ // histories that are whole without it
		"evt.payment.ear",           // there never was a payment
		"evt.reservation.ear",       // nor a reservation
		"evt.order.bad placed",      // it was rejected: there is nothing else of it
		"evt.order.voi confirmed",   // it was cancelled just before
		"flow.orders.in.3.checkout", // inputs are gone one day
		"flow.orders.log.checkout",  // a journal's page, when another follows
	}
	whole := good(t)
	for i, a := range whole.acts {
		what := a.subject
		if len(a.events) > 0 {
			what += " " + strings.Split(a.events[0].Type, ".")[1]
		}
		if slices.ContainsFunc(harmless, func(h string) bool { return strings.HasPrefix(what, h) }) {
			continue
		}
		w := good(t)
		w.acts = slices.Delete(w.acts, i, i+1)
		if atRest(t, w).Clean {
			t.Errorf("%s is missing and the history is clean", what)
		}
	}
}

// No act of an entity can happen twice.
func TestEveryRepeatedActIsFound(t *testing.T) {
	t.Parallel()
	for i, a := range good(t).acts {
		if len(a.events) == 0 || a.stream == "CATALOG" || a.events[0].Type == "stock.adjusted.v1" {
			continue // these may be repeated by another command
		}
		w := good(t)
		twin := a
		twin.events = slices.Clone(a.events)
		twin.events[0].ID, twin.events[0].Command = "other", "other"
		w.acts = slices.Insert(w.acts, i+1, twin)
		if atRest(t, w).Clean {
			t.Errorf("%s of %s happens twice and the history is clean", a.events[0].Type, a.subject)
		}
	}
}

// cut2 removes the second act that has the event type.
func (w *world) cut2(subject, eventType string) {
	first := w.index(subject, eventType)
	rest := &world{t: w.t, acts: w.acts[first+1:]}
	i := first + 1 + rest.index(subject, eventType)
	w.acts = slices.Delete(w.acts, i, i+1)
}

// lastTo moves the last act to the place i.
func (w *world) lastTo(i int) {
	last := w.acts[len(w.acts)-1]
	w.acts = slices.Insert(w.acts[:len(w.acts)-1], i, last)
}

func TestEveryDamageIsFound(t *testing.T) {
	t.Parallel()
	covered := map[string]bool{checkAcked: true} // has its own test
	for _, d := range damages {
		covered[d.check] = true
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			w := good(t)
			d.damage(w)
			wantFound(t, atRest(t, w), d.check, d.says)
			flying := verdict(t, w, len(w.acts), Options{})
			if d.flying {
				wantFound(t, flying, d.check, d.says)
			} else if _, found := findings(flying, d.check, d.says); found {
				t.Errorf("found while the mesh works, where it may be in order")
			}
		})
	}
	for _, p := range promises {
		if !covered[p.Name] {
			t.Errorf("no damage tests the check %s", p.Name)
		}
	}
}

func wantFound(t *testing.T, r Report, check, says string) {
	t.Helper()
	all, found := findings(r, check, says)
	if !found || r.Clean {
		t.Errorf("%s: nothing that says %q; found:\n%s", check, says, all)
	}
}

// findings lists what a check found and whether one says the text.
func findings(r Report, check, says string) (string, bool) {
	var all strings.Builder
	found := false
	for _, c := range r.Checks {
		for _, f := range c.Findings {
			text := fmt.Sprintf("%s: %s (%s, message %d): expected %s, is %s\n", c.Name, f.Entity, f.Subject, f.Sequence, f.Expected, f.Is)
			all.WriteString(text)
			found = found || (c.Name == check && strings.Contains(text, says) && f.Entity != "")
		}
	}
	return all.String(), found
}

func TestAcknowledgedOrders(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "acked")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	w := good(t)
	write("del\n\nvoi\n")
	r := verdict(t, w, len(w.acts), Options{AtRest: true, AckedFile: file})
	wantClean(t, r)
	write("del\nlost\n")
	wantFound(t, verdict(t, w, len(w.acts), Options{AckedFile: file}), checkAcked, "order lost")
	write("del\nnot an id\n")
	if _, err := judge(t.Context(), w.tell(len(w.acts)), Options{AckedFile: file}); err == nil || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("a file with a bad line: %v", err)
	}
	if _, err := judge(t.Context(), w.tell(len(w.acts)), Options{AckedFile: file + "x"}); err == nil {
		t.Error("a missing file was accepted")
	}
}

func TestNotesAreNoFindings(t *testing.T) {
	t.Parallel()
	w := good(t)
	w.add(contract.DLQStream, contract.DeadLetter("ORDERS", "orders-checkout"), struct{}{})
	w.acts[len(w.acts)-1].header = map[string][]string{"Mesh-Dead-Subject": {"evt.order.del"}, "Mesh-Dead-Reason": {"poison"}}
	w.add("ORDERS", "evt.order.del", map[string]any{"hello": 1})
	w.add("ORDERS", "evt.strange.x", map[string]any{"hello": 1})
	r := atRest(t, w)
	wantClean(t, r)
	if len(r.Notes) != 3 || r.Totals.DeadLetters != 1 || !strings.Contains(r.Notes[0].Text, "poison") {
		t.Errorf("notes: %+v", r.Notes)
	}
}

// A message that is not ours counts as a predecessor of the next commit.
func TestForeignMessageInTheMiddle(t *testing.T) {
	t.Parallel()
	w := good(t)
	i := w.index("evt.order.del", "order.confirmed.v1")
	w.add("ORDERS", "evt.order.del", map[string]any{"hello": 1})
	w.lastTo(i)
	wantClean(t, atRest(t, w))
}

// A request that was slower than the rest of its order may hold once more, if it
// gives that back.
func TestLateHoldThatGoesAway(t *testing.T) {
	t.Parallel()
	for _, id := range []string{"del", "ref", "voi"} {
		w := good(t)
		do(w, inventory.StockEvents, "TEA", inventory.StockEvent(inventory.StockHeld{OrderID: id, Quantity: 2}))
		wantClean(t, verdict(t, w, len(w.acts), Options{}))
		do(w, inventory.StockEvents, "TEA", inventory.StockEvent(inventory.StockHoldReleased{OrderID: id, Quantity: 2}))
		wantClean(t, atRest(t, w))
	}
}

// A cancel may come between the commit of the reservation and the sale.
func TestReturnBeforeTheSale(t *testing.T) {
	t.Parallel()
	w := good(t)
	w.place("ret")
	w.reserve("ret")
	w.authorize("ret")
	w.capture("ret")
	do(w, inventory.ReservationEvents, "ret", inventory.ReservationEvent(inventory.ReservationCommitted{}))
	w.cancel("ret", "changed_mind")
	do(w, inventory.ReservationEvents, "ret", inventory.ReservationEvent(inventory.ReservationReturned{}))
	w.stock(func(q int64) inventory.StockEvent { return inventory.StockHoldReleased{OrderID: "ret", Quantity: q} }, lines...)
	w.write(sandbox.ProviderBook, sandbox.RefundKeyIn("ch-ret", 1), sandbox.RefundRecord{ChargeID: "ch-ret"})
	do(w, payments.Events, "ret", payments.Event(payments.PaymentRefunded{Amount: total}))
	w.journal("ret", 1, "completed")
	wantClean(t, atRest(t, w))
}

// A void may overtake the provider's answer to the authorization.
func TestVoidThatOvertakesTheAuthorization(t *testing.T) {
	t.Parallel()
	w := good(t)
	w.place("ovr")
	w.reserve("ovr")
	w.charge("ovr", sandbox.ChargeAuthorized)
	w.cancel("ovr", "changed_mind")
	w.settle("ovr", sandbox.ChargeVoided)
	do(w, payments.Events, "ovr", payments.Event(payments.PaymentVoided{}))
	w.release("ovr")
	w.journal("ovr", 1, "completed")
	wantClean(t, atRest(t, w))
}

// A schedule waits for ever, and its journal begins anew each time.
func TestASchedule(t *testing.T) {
	t.Parallel()
	w := good(t)
	for gen := range 3 {
		w.add(contract.FlowStream, contract.FlowLog("orders", "schedule", "nightly"), map[string]any{
			"flow": "schedule", "id": "nightly", "start": 1, "gen": gen, "status": "waiting",
			"records": []any{map[string]any{"i": 0, "kind": "now", "out": gen}},
		})
	}
	wantClean(t, atRest(t, w))
}

func TestReportForPeople(t *testing.T) {
	t.Parallel()
	w := good(t)
	var b strings.Builder
	if err := atRest(t, w).Print(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"clean: every promise held", "1 on_hold 3 delivered 7 cancelled", "191 on hand + 12 sold = 200 adjusted + 3 restocked"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the report does not say %q:\n%s", want, b.String())
		}
	}
	for i := range 30 {
		w.place(fmt.Sprintf("mid%d", i))
	}
	b.Reset()
	if err := atRest(t, w).Print(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"NOT CLEAN: 60 findings", "BAD finished", "evt.order.mid0", "… and 10 more"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the report does not say %q:\n%s", want, b.String())
		}
	}
}

func TestFindingsAreBounded(t *testing.T) {
	t.Parallel()
	d := newDocket()
	for range kept + 5 {
		d.find(checkStock, Finding{Entity: "x"})
	}
	r := Report{Checks: d.ordered()}
	if r.Count() != kept+5 {
		t.Errorf("counted %d findings, want %d", r.Count(), kept+5)
	}
}
