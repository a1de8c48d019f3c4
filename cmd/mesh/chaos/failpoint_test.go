package chaos

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// crashMix makes orders pass every point.
var crashMix = Mix{Declined: 15, Flaky: 10, Timeout: 5, Cancel: 25}

// listed is how many orders find out which points there are.
const listed = 40

// P3: whatever happened last before the crash, nobody is charged twice and every
// order comes to its right end.
//
// One run lists the points that orders pass; then the process crashes at each of
// them, several times where that is asked for. Every test run takes a few points by
// the seed; each of its processes starts armed for the next one, so that the recovery
// from one crash runs into the next. The long forms take all, and let every crash
// recover alone.
func TestCrashAtEveryPoint(t *testing.T) {
	t.Parallel()
	scale := ScaleFromEnv()
	points := listPoints(t)
	if len(points) == 0 {
		t.Fatal("orders pass no crash point")
	}
	perPoint := scale.pick(1, 2, 25)
	orders := 4 + scale.pick(0, 2_000, 50_000)/(len(points)*perPoint)
	var crashes []string
	for _, p := range points {
		p.Passed = max(1, p.Passed*orders/listed) // what so many orders are expected to pass
		for _, hit := range hitsOf(p, perPoint) {
			crashes = append(crashes, fmt.Sprintf("%s:%d", p.Name, hit))
		}
	}
	random := rand.New(rand.NewPCG(seed(t), 1))
	random.Shuffle(len(crashes), func(i, j int) { crashes[i], crashes[j] = crashes[j], crashes[i] })
	crashes = crashes[:min(len(crashes), scale.pick(8, len(crashes), len(crashes)))]
	const lanes = 4
	for lane := range lanes {
		var part []string
		for i := lane; i < len(crashes); i += lanes {
			part = append(part, crashes[i])
		}
		t.Run(fmt.Sprintf("lane-%d", lane+1), func(t *testing.T) {
			t.Parallel()
			crashInTurn(newRig(t, Failpoint), part, orders, scale != Short)
		})
	}
}

// crashInTurn lets one mesh after the other die in the same directory.
func crashInTurn(r *rig, crashes []string, orders int, alone bool) {
	r.Helper()
	r.up()
	r.stock(5, 1_000_000)
	r.mesh.Kill()
	missed := 0
	for i, crash := range crashes {
		load := Load{Name: fmt.Sprintf("crash-%d", i), Orders: orders, Clients: 8, CancelDelay: 100 * time.Millisecond, Mix: crashMix}
		if !crashAt(r, crash, load) {
			missed++
			r.Logf("%s was not passed often enough to crash there", crash)
		}
		if !alone {
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
	if v := r.clean(time.Minute); v.Orders != orders*len(crashes) {
		r.Errorf("the stream has %d orders, %d were placed", v.Orders, orders*len(crashes))
	}
	r.Logf("%d crashes, %d more were not reached; %d orders", len(crashes)-missed, missed, orders*len(crashes))
	if missed > len(crashes)/2 {
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
	load := Load{Name: "list", Orders: listed, Clients: 8, CancelDelay: 100 * time.Millisecond, Mix: crashMix}
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
	t.Logf("%d orders pass: %v", load.Orders, points)
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
