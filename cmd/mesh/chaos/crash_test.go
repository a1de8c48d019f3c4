package chaos

import (
	"slices"
	"testing"
	"time"
)

// everything is a mix of every way that an order can go.
var everything = Mix{Declined: 5, Flaky: 5, Timeout: 2, Cancel: 10}

// P1: what was acknowledged survives kill -9 of the whole process under load, and
// nothing is done twice.
func TestKilledUnderLoad(t *testing.T) {
	t.Parallel()
	scale := ScaleFromEnv()
	kills, orders := scale.pick(3, 20, 50), scale.pick(150, 5_000, 50_000)
	r := newRig(t, Plain)
	r.up()
	r.stock(10, 1_000_000)
	wait := r.load(Load{Name: "order", Orders: orders, Clients: 32, Mix: everything, CancelDelay: 50 * time.Millisecond})
	restarts, err := killUnderLoad(t.Context(), r.mesh, r.ledger, kills, orders, r.seed)
	if err != nil {
		t.Fatal(err)
	}
	if err := wait(); err != nil {
		t.Fatal(err)
	}
	v := r.clean(time.Minute)
	if r.ledger.Len() != orders {
		t.Errorf("%d orders were acknowledged, %d were placed", r.ledger.Len(), orders)
	}
	if v.Orders != orders {
		t.Errorf("the stream has %d orders, %d were placed: a retry became a second order", v.Orders, orders)
	}
	report(t, restarts)
}

// report prints how long the mesh was away.
func report(t *testing.T, restarts []Restart) {
	t.Helper()
	var ready, first []time.Duration
	for i, x := range restarts {
		t.Logf("kill %d after %d orders: ready again after %v, first answer after %v",
			i+1, x.Acked, x.Ready.Round(time.Millisecond), x.First.Round(time.Millisecond))
		ready, first = append(ready, x.Ready), append(first, x.First)
	}
	slices.Sort(ready)
	slices.Sort(first)
	t.Logf("kills %d, ready again: median %v, worst %v; first answer: median %v, worst %v", len(restarts),
		ready[len(ready)/2].Round(time.Millisecond), ready[len(ready)-1].Round(time.Millisecond),
		first[len(first)/2].Round(time.Millisecond), first[len(first)-1].Round(time.Millisecond))
}

// P14: SIGTERM under load loses nothing either and ends in time.
func TestTerminatedUnderLoad(t *testing.T) {
	t.Parallel()
	scale := ScaleFromEnv()
	times, orders := scale.pick(1, 20, 200), scale.pick(60, 2_000, 20_000)
	r := newRig(t, Plain)
	r.up()
	r.stock(10, 1_000_000)
	wait := r.load(Load{Name: "order", Orders: orders, Clients: 16, Mix: everything, CancelDelay: 50 * time.Millisecond})
	for i := range times {
		if err := r.ledger.Reach(t.Context(), orders*(i+1)/(times+1)); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if err := r.mesh.Stop(t.Context()); err != nil {
			t.Errorf("stop %d: %v", i+1, err)
		}
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("stop %d took %v", i+1, took)
		}
		r.up()
	}
	if err := wait(); err != nil {
		t.Fatal(err)
	}
	if v := r.clean(time.Minute); v.Orders != orders {
		t.Errorf("the stream has %d orders, %d were placed", v.Orders, orders)
	}
}
