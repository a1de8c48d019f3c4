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
	kills, orders := scale.pick(3, 20, 50), scale.pick(200, 5_000, 50_000)
	r := newRig(t, Plain)
	r.stopUnderLoad(kills, orders, func() error {
		r.mesh.Kill()
		return nil
	})
}

// P14: SIGTERM under load loses nothing either and ends in time.
func TestTerminatedUnderLoad(t *testing.T) {
	t.Parallel()
	scale := ScaleFromEnv()
	times, orders := scale.pick(1, 20, 200), scale.pick(60, 2_000, 20_000)
	r := newRig(t, Plain)
	r.stopUnderLoad(times, orders, func() error {
		start := time.Now()
		err := r.mesh.Stop(t.Context())
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("it took %v to stop", took)
		}
		return err
	})
}

// stopUnderLoad places orders of every kind while the mesh is stopped and started
// again and again, and fails the test unless everything ends well.
func (r *rig) stopUnderLoad(times, orders int, stop func() error) {
	r.Helper()
	r.up()
	r.stock(10, 1_000_000)
	l := r.shape(Load{Name: "order", Orders: orders, Clients: 32, Mix: everything, CancelDelay: 50 * time.Millisecond, Gate: NewGate()})
	wait := r.load(l)
	restarts, err := killUnderLoad(r.Context(), r.mesh, r.ledger, l, times, stop)
	if err != nil {
		r.Fatal(err)
	}
	if err := wait(); err != nil {
		r.Fatal(err)
	}
	if v := r.clean(time.Minute); v.Orders != orders || r.ledger.Len() != orders {
		r.Errorf("%d orders were placed, %d are acknowledged, %d stored", orders, r.ledger.Len(), v.Orders)
	}
	report(r.T, restarts)
}

// report prints how long the mesh was away.
func report(t *testing.T, restarts []Restart) {
	t.Helper()
	var ready, first []time.Duration
	for i, x := range restarts {
		t.Logf("stop %d after %d orders: down after %v, ready again after %v, first answer after %v",
			i+1, x.Acked, x.Down.Round(time.Millisecond), x.Ready.Round(time.Millisecond), x.First.Round(time.Millisecond))
		ready, first = append(ready, x.Ready), append(first, x.First)
	}
	slices.Sort(ready)
	slices.Sort(first)
	t.Logf("%d stops, ready again: median %v, worst %v; first answer: median %v, worst %v", len(restarts),
		ready[len(ready)/2].Round(time.Millisecond), ready[len(ready)-1].Round(time.Millisecond),
		first[len(first)/2].Round(time.Millisecond), first[len(first)-1].Round(time.Millisecond))
}
