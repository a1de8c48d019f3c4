package chaos

import (
	"context"
	"testing"
	"time"

	"github.com/ordermesh/ordermesh/embedded/natsd"
)

// F22: two processes whose clocks are an hour ahead and an hour behind, and one whose clock
// jumps, share the work of a mesh, and one of them dies. Orders go by versions and leases
// by durations, so nothing is lost, doubled or stolen from a worker that lives.
func TestClocksAreWrong(t *testing.T) {
	t.Parallel()
	scale := ScaleFromEnv()
	if scale == Short {
		t.Skip("builds with another clock: MESH_CHAOS=ci runs it")
	}
	server, err := natsd.StartChild(t.Context(), natsd.Config{Port: -1, StoreDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	r := newRigOf(t, Skewed, NewMeshOn(t, built(t, Skewed), server.URL()))
	var all []*Joined
	for _, skew := range []string{"3600", "-3600", "3600@15"} {
		j, err := r.mesh.join(t.Context(), r.mesh.binary, "", []string{"MESH_CLOCK_SKEW=" + skew}, everyService...)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, j)
	}
	r.stock(10, 1_000_000)
	orders := scale.pick(0, 1_000, 10_000)
	placing := func(name string) {
		t.Helper()
		err := r.load(Load{Name: name, Orders: orders / 2, Clients: 32, Mix: everything, CancelDelay: 100 * time.Millisecond})()
		if err != nil {
			t.Fatal(err)
		}
	}
	before := r.sharedBy(3)
	placing("wrong")
	jumped, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	<-jumped.Done() // the third clock has jumped by now
	placing("jumped")
	for session, share := range r.sharedBy(3) {
		for p := range share {
			if !before[session][p] {
				t.Errorf("partition %d was taken from a worker that lives", p)
			}
		}
	}
	wait := r.load(Load{Name: "dying", Orders: orders / 2, Clients: 32, Mix: everything, CancelDelay: 100 * time.Millisecond})
	if err := r.ledger.Reach(t.Context(), orders+orders/4); err != nil {
		t.Fatal(err)
	}
	all[1].Kill()
	if err := wait(); err != nil {
		t.Fatal(err)
	}
	r.sharedBy(2)
	r.clean(2 * time.Minute)
}

// sharedBy waits until so many sessions share all partitions of the orders' flows.
func (r *rig) sharedBy(sessions int) (owners map[string]map[int]bool) {
	r.Helper()
	late := time.Now().Add(time.Minute)
	for {
		var err error
		if owners, err = Owners(r.Context(), r.client.JetStream(), "orders"); err != nil {
			r.Fatal(err)
		}
		total, most := 0, 0
		for _, share := range owners {
			total, most = total+len(share), max(most, len(share))
		}
		if total == partitions && len(owners) == sessions && most <= (partitions+sessions-1)/sessions {
			return owners
		}
		if time.Now().After(late) {
			r.Fatalf("the partitions are not shared by %d workers: %v", sessions, owners)
		}
		pause(r.Context(), pollEvery)
	}
}
