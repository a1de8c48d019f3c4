package chaos

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

// P3: whatever happened last before the crash, nobody is charged twice and every
// order comes to its right end.
//
// One run lists the points that orders pass; then the process crashes at each of
// them. The short form starts every process armed for the next point, so that the
// recovery from one crash runs into the next; the long forms also let every crash
// recover alone.
func TestCrashAtEveryPoint(t *testing.T) {
	t.Parallel()
	scale := ScaleFromEnv()
	points := listPoints(t)
	if len(points) == 0 {
		t.Fatal("orders pass no crash point")
	}
	r := newRig(t, Failpoint)
	r.up()
	r.stock(5, 1_000_000)
	r.mesh.Kill()
	perPoint := scale.pick(1, 5, 25)
	var crashes []string
	for _, p := range points {
		for _, hit := range hitsOf(p, perPoint) {
			crashes = append(crashes, fmt.Sprintf("%s:%d", p.Name, hit))
		}
	}
	orders := max(1, scale.pick(3*len(crashes), 2_000, 50_000)/len(crashes))
	missed := 0
	for i, crash := range crashes {
		load := Load{Name: fmt.Sprintf("crash-%d", i), Orders: orders, Clients: 8, CancelDelay: 20 * time.Millisecond,
			Mix: Mix{Declined: 10, Flaky: 10, Timeout: 5, Cancel: 20}}
		if !crashAt(r, crash, load) {
			missed++
			r.Logf("%s was not passed often enough to crash there", crash)
		}
		if scale == Short {
			continue
		}
		r.up()
		r.clean(time.Minute)
		if r.Failed() {
			r.Fatalf("after the crash at %s", crash)
		}
		r.mesh.Kill()
	}
	r.up()
	v := r.clean(time.Minute)
	if v.Orders != orders*len(crashes) {
		r.Errorf("the stream has %d orders, %d were placed", v.Orders, orders*len(crashes))
	}
	r.Logf("%d crashes at %d points (%d not reached), %d orders", len(crashes)-missed, len(points), missed, v.Orders)
	if missed > len(crashes)/4 {
		r.Errorf("%d of %d crashes did not happen", missed, len(crashes))
	}
}

// listPoints runs orders of every kind, one restart among them, and returns the
// points that were passed.
func listPoints(t *testing.T) []Point {
	t.Helper()
	r := newRig(t, Failpoint)
	r.up("MESH_FAILPOINT=list")
	r.stock(5, 1_000_000)
	load := Load{Name: "list", Orders: 40, Clients: 8, CancelDelay: 20 * time.Millisecond,
		Mix: Mix{Declined: 10, Flaky: 10, Timeout: 5, Cancel: 20}}
	wait := r.load(load)
	if err := r.ledger.Reach(t.Context(), load.Orders/2); err != nil {
		t.Fatal(err)
	}
	r.mesh.Kill()
	before := passedPoints(r.mesh.Log())
	r.up("MESH_FAILPOINT=list")
	if err := wait(); err != nil {
		t.Fatal(err)
	}
	r.clean(time.Minute)
	points := mergePoints(before, passedPoints(r.mesh.Log()))
	r.mesh.Kill()
	for _, p := range points {
		t.Logf("%s is passed %d times by %d orders", p.Name, p.Passed, load.Orders)
	}
	return points
}

// crashAt starts an armed mesh, lets the load run into the crash and, when the mesh
// is gone, returns with the orders of the load placed or still insisting. It reports
// whether the crash happened; if not, the mesh is killed.
func crashAt(r *rig, crash string, load Load) bool {
	r.Helper()
	err := r.mesh.Up(r.Context(), "MESH_FAILPOINT="+crash)
	if errors.Is(err, ErrExited) { // the recovery passes the point before it is ready
		r.up()
	} else if err != nil {
		r.Fatal(err)
	}
	crashed := err != nil
	done := make(chan error, 1)
	wait := r.load(load)
	go func() { done <- wait() }()
	select {
	case <-r.mesh.Down():
		crashed = true
		r.up()
		err = <-done
	case err = <-done:
	}
	if err != nil {
		r.Fatalf("%s: %v", crash, err)
	}
	if crashed {
		r.mesh.Kill()
		return true
	}
	// All orders are placed; what they set off may still pass the point.
	if crashed = downBeforeRest(r); !crashed {
		r.mesh.Kill()
	}
	return crashed
}

// downBeforeRest waits until the mesh has crashed or everything is at rest.
func downBeforeRest(r *rig) bool {
	r.Helper()
	fold := NewFold()
	for {
		select {
		case <-r.mesh.Down():
			return true
		case <-r.Context().Done():
			r.Fatal(r.Context().Err())
		case <-time.After(pollEvery):
		}
		if fold.Advance(r.Context(), r.client.JetStream()) == nil && fold.Unfinished() == 0 {
			return false
		}
	}
}
