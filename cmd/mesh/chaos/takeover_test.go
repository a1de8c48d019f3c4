package chaos

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// duelMix keeps many checkouts under way: a charge that times out holds its checkout
// for a while.
var duelMix = Mix{Declined: 5, Flaky: 5, Timeout: 30, Cancel: 5}

// takeOverBound is far beyond the two seconds that a take-over should need: a loaded
// machine is slow, not wrong.
const takeOverBound = 20 * time.Second

// duel is a mesh whose checkouts are shared with a second process.
type duel struct {
	*rig
	journals *Journals
	calls    *Calls
	fold     *Fold
	random   *rand.Rand
	inbox    string // of the calls of `mesh dev`
	home     string // the session of `mesh dev`
}

func newDuel(t *testing.T) *duel {
	t.Helper()
	r := newRig(t, Plain)
	d := &duel{rig: r, journals: NewJournals("orders", "checkout"), fold: NewFold(), random: rand.New(rand.NewPCG(r.seed, 2))}
	r.up()
	r.stock(10, 1_000_000)
	var err error
	if d.calls, err = Overhear(r.client.NATS()); err != nil {
		t.Fatal(err)
	}
	d.place("alone", 4, Mix{})
	d.settle()
	calls := d.heard()
	if len(calls) == 0 {
		t.Fatal("no call of a checkout was heard")
	}
	d.inbox = calls[0].Caller
	return d
}

// place has orders placed and returns when each is acknowledged.
func (d *duel) place(name string, orders int, mix Mix) {
	d.Helper()
	if err := d.placing(name, orders, mix)(); err != nil {
		d.Fatal(err)
	}
}

func (d *duel) placing(name string, orders int, mix Mix) (wait func() error) {
	return d.load(Load{Name: name, Orders: orders, Clients: min(orders, 128), Mix: mix, CancelDelay: 200 * time.Millisecond})
}

// settle waits until every order has ended.
func (d *duel) settle() {
	d.Helper()
	if err := d.fold.Finish(d.Context(), d.client.JetStream(), time.Minute); err != nil {
		d.Fatal(err)
	}
}

func (d *duel) heard() []Call {
	d.Helper()
	calls, err := d.calls.Take()
	if err != nil {
		d.Fatal(err)
	}
	return calls
}

// read brings the journals up to date.
func (d *duel) read() {
	d.Helper()
	if err := d.journals.Advance(d.Context(), d.client.JetStream()); err != nil {
		d.Fatal(err)
	}
}

// owned waits until so many sessions share the partitions evenly.
func (d *duel) owned(by int) map[string]map[int]bool {
	d.Helper()
	var owners map[string]map[int]bool
	d.until(fmt.Sprintf("%d owners of all partitions", by), func() bool {
		var err error
		if owners, err = Owners(d.Context(), d.client.JetStream(), "orders"); err != nil {
			d.Fatal(err)
		}
		total := 0
		for _, share := range owners {
			total += len(share)
			if len(share) != partitions/by {
				return false
			}
		}
		return total == partitions
	})
	return owners
}

// rival waits until the other process has half of the partitions.
func (d *duel) rival(former string) (session string, share map[int]bool) {
	d.Helper()
	d.until("the other process to own its share", func() bool {
		for name, owns := range d.owned(2) {
			if name != d.home && name != former {
				session, share = name, owns
			}
		}
		return session != ""
	})
	return session, share
}

// join starts the other process while mesh dev owns everything.
func (d *duel) join() (*Joined, string, map[int]bool) {
	d.Helper()
	for session := range d.owned(1) {
		d.home = session
	}
	other, err := d.mesh.Join(d.Context(), "orders")
	if err != nil {
		d.Fatal(err)
	}
	session, share := d.rival("")
	return other, session, share
}

// until looks again and again until done says so.
func (d *duel) until(what string, done func() bool) {
	d.Helper()
	late := time.After(time.Minute)
	for !done() {
		select {
		case <-time.After(pollEvery):
		case <-late:
			d.Fatalf("waited in vain for %s", what)
		}
	}
}

// own returns the calls of `mesh dev`.
func (d *duel) own(calls []Call) []Call {
	return slices.DeleteFunc(slices.Clone(calls), func(c Call) bool { return c.Caller != d.inbox })
}

// sure fails the test where a step was repeated that must not be, or the dead session
// wrote after another one.
func (d *duel) sure(calls []Call, dead string) Repeats {
	d.Helper()
	again := repeats(calls, d.inbox, func(orderID string) map[string]bool { return d.journals.of(orderID).stored(dead) })
	for _, b := range slices.Concat(again.Broken, d.journals.Trespasses(dead)) {
		d.Error(b)
	}
	return again
}

// kill -9 of one of two workers in the middle of many checkouts: the other one ends
// them, soon, and repeats no step whose result was stored.
func TestAWorkerDiesAmidCheckouts(t *testing.T) {
	t.Parallel()
	scale := ScaleFromEnv()
	rounds, orders := scale.pick(1, 20, 50), scale.pick(200, 500, 500)
	d := newDuel(t)
	var progress []time.Duration
	repeated, stored, orphans := 0, 0, 0
	for round := range rounds {
		victim, dead, share := d.join()
		before := d.ledger.Len()
		wait := d.placing(fmt.Sprintf("round-%d", round), orders, duelMix)
		if err := d.ledger.Reach(t.Context(), before+orders/2+d.random.IntN(orders/2)); err != nil {
			t.Fatal(err)
		}
		d.until("the victim to be in the middle", func() bool {
			d.read()
			return d.journals.Since(dead, time.Time{}) >= orders/10
		})
		select {
		case <-time.After(time.Duration(d.random.Int64N(int64(busyFor)))):
		case <-t.Context().Done():
		}
		killed := time.Now()
		victim.Kill()
		if err := wait(); err != nil {
			t.Fatal(err)
		}
		d.settle()
		d.read()
		calls := d.heard()
		over := d.journals.TakeOver(Death{Session: dead, Partitions: share, At: killed}, d.own(calls))
		again := d.sure(calls, dead)
		d.clean(time.Minute)
		slowest := time.Duration(0)
		for _, took := range over.Progress {
			progress, slowest = append(progress, took), max(slowest, took)
		}
		repeated, stored, orphans = repeated+again.Steps, stored+over.Stored, orphans+over.Orphans
		t.Logf("round %d: %d checkouts under way, %d of them orphaned in %d partitions with %d steps stored; progress in the slowest after %v, the last ended after %v; %d steps repeated, at most %d of one checkout",
			round+1, over.Running, over.Orphans, len(over.Progress), over.Stored, slowest.Round(time.Millisecond), over.Finished.Round(time.Millisecond), again.Steps, again.Most)
		if t.Failed() {
			t.Fatalf("in round %d", round+1)
		}
	}
	if orphans == 0 || stored == 0 {
		t.Fatalf("when their workers died %d checkouts were under way and %d of their steps were done: there was nothing to take over", orphans, stored)
	}
	slices.Sort(progress)
	worst := progress[len(progress)-1]
	t.Logf("%d rounds: first progress of a partition after kill -9: median %v, worst %v of %d; of %d orphaned checkouts %d steps were repeated, and none of %d that were stored",
		rounds, progress[len(progress)/2].Round(time.Millisecond), worst.Round(time.Millisecond), len(progress), orphans, repeated, stored)
	if worst > takeOverBound {
		t.Errorf("a partition stood still for %v", worst)
	}
}

// A worker that stood still past its lease and goes on writes nothing and begins no
// step: others have its checkouts.
func TestAFrozenWorkerIsFenced(t *testing.T) {
	t.Parallel()
	scale := ScaleFromEnv()
	rounds, orders := scale.pick(1, 5, 50), scale.pick(150, 500, 500)
	d := newDuel(t)
	zombie, session, share := d.join()
	for round := range rounds {
		d.place(fmt.Sprintf("round-%d", round), orders, Mix{Declined: 5, Flaky: 5, Timeout: 40})
		d.until("every order to have its checkout", func() bool {
			d.read()
			return len(d.journals.Flows) >= d.ledger.Len()
		})
		frozen := time.Now()
		if err := zombie.Freeze(); err != nil {
			t.Fatal(err)
		}
		d.owned(1)
		d.until("the other worker to end all checkouts", func() bool {
			d.read()
			return d.journals.Open() == 0
		})
		thawed := time.Now()
		if err := zombie.Thaw(); err != nil {
			t.Fatal(err)
		}
		dead := session
		over := d.journals.TakeOver(Death{Session: dead, Partitions: share, At: frozen}, nil)
		session, share = d.rival(dead)
		d.settle()
		d.read()
		calls := d.heard()
		again := d.sure(calls, dead)
		if n := d.journals.Since(dead, thawed); n > 0 {
			t.Errorf("%d messages by the worker that had stood still were stored", n)
		}
		ghosts := map[string]int{}
		for _, call := range calls {
			if call.Caller != d.inbox && call.Heard.After(thawed) {
				ghosts[call.OrderID]++
			}
		}
		for id, n := range ghosts {
			if n > 1 {
				t.Errorf("order %s: %d steps by the worker that had stood still, it may end the one that it stood in", id, n)
			}
		}
		d.clean(time.Minute)
		t.Logf("round %d: %d checkouts under way, %d of them orphaned with %d steps stored, the last ended after %v; %d steps repeated, %d ended late by the worker that had stood still",
			round+1, over.Running, over.Orphans, over.Stored, over.Finished.Round(time.Millisecond), again.Steps, len(ghosts))
		if t.Failed() {
			t.Fatalf("in round %d", round+1)
		}
		if over.Orphans == 0 {
			t.Error("no checkout was under way when its worker stood still")
		}
	}
}
