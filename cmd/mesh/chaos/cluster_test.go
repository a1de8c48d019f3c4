package chaos

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/embedded/natsd"
)

// everyService is what runs on a cluster.
var everyService = []string{"catalog", "inventory", "orders", "payments", "shipping", "provider", "carrier", "flows"}

// clusterPatience bounds an election and the return of a node.
const clusterPatience = 90 * time.Second

// newCluster starts a mesh of two processes, each with every service, on three servers.
func newCluster(t *testing.T) (*rig, *natsd.ChildCluster) {
	t.Helper()
	r, servers := newServers(t)
	for range 2 {
		if _, err := r.mesh.Join(t.Context(), everyService...); err != nil {
			t.Fatal(err)
		}
	}
	return r, servers
}

// newServers starts three servers with every stream and no service.
func newServers(t *testing.T) (*rig, *natsd.ChildCluster) {
	t.Helper()
	binary := built(t, Plain)
	ctx, cancel := context.WithTimeout(t.Context(), clusterPatience)
	defer cancel()
	servers, err := natsd.StartChildCluster(ctx, 3, t.TempDir(), natsd.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := servers.Close(); err != nil {
			t.Error(err)
		}
	})
	r := newRigOf(t, Plain, NewMeshOn(t, binary, servers.URL()))
	if _, err := r.mesh.Command(ctx, "topology", "apply", "--replicas", "3"); err != nil {
		t.Fatal(err)
	}
	return r, servers
}

// On three servers the leader of the flows' stream is killed again and again under
// load: every order comes to its right end.
func TestTheLeaderOfTheFlowsIsKilled(t *testing.T) {
	t.Parallel()
	scale := ScaleFromEnv()
	lasts := time.Duration(scale.pick(1, 60, 600)) * time.Second
	perSecond := scale.pick(10, 20, 40)
	r, servers := newCluster(t)
	r.stock(10, 1_000_000)
	orders := perSecond * int(lasts/time.Second+15)
	l := r.shape(Load{Name: "order", Orders: orders, Clients: 64, Mix: everything, CancelDelay: 100 * time.Millisecond, Gate: NewGate()})
	wait := r.load(l)
	stop := steadily(r, l, perSecond)
	begun := time.Now()
	var elections, progress []time.Duration
	for len(elections) == 0 || time.Since(begun) < lasts {
		elected, moved := r.killLeader(servers)
		elections, progress = append(elections, elected), append(progress, moved)
	}
	stop()
	l.Gate.Open(l.Orders)
	if err := wait(); err != nil {
		t.Fatal(err)
	}
	if v := r.clean(2 * time.Minute); v.Orders != l.Orders {
		t.Errorf("%d orders were placed, %d are stored", l.Orders, v.Orders)
	}
	slices.Sort(elections)
	slices.Sort(progress)
	t.Logf("%d leaders killed in %v: next leader after: median %v, worst %v; next journal message after: median %v, worst %v",
		len(elections), time.Since(begun).Round(time.Second),
		elections[len(elections)/2].Round(time.Millisecond), elections[len(elections)-1].Round(time.Millisecond),
		progress[len(progress)/2].Round(time.Millisecond), progress[len(progress)-1].Round(time.Millisecond))
}

// steadily opens the load's gate a little every tenth of a second until it is stopped.
func steadily(r *rig, l Load, perSecond int) (stop func()) {
	const perTick = 100 * time.Millisecond
	ctx, cancel := context.WithCancel(r.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(perTick)
		defer tick.Stop()
		for open := perSecond; ; open += max(1, perSecond/10) {
			l.Gate.Open(min(open, l.Orders))
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	}()
	stop = func() {
		cancel()
		<-done
	}
	r.Cleanup(stop)
	return stop
}

// killLeader kills the server that leads the flows' stream, waits for the next leader
// and a second more, and brings the killed one back. It tells how long there was no
// leader, and how long no journal was written.
func (r *rig) killLeader(servers *natsd.ChildCluster) (elected, moved time.Duration) {
	r.Helper()
	elected = r.killLeaderOf(servers, contract.FlowStream, func(ctx context.Context, killed time.Time) error {
		var err error
		moved, err = r.journalsMove(ctx, killed)
		return err
	})
	return elected, moved
}

// killLeaderOf kills the server that leads a stream, waits for the next leader, for what
// is to happen then, and a second more, and brings the killed one back. It tells how long
// there was no leader.
func (r *rig) killLeaderOf(servers *natsd.ChildCluster, stream string, then ...func(context.Context, time.Time) error) time.Duration {
	r.Helper()
	ctx, cancel := context.WithTimeout(r.Context(), clusterPatience)
	defer cancel()
	must := func(err error) {
		if err != nil {
			r.Helper()
			r.Fatal(err)
		}
	}
	leader, err := servers.WaitLeader(ctx, stream)
	must(err)
	killed := time.Now()
	must(servers.Node(leader).Kill())
	_, err = servers.WaitLeader(ctx, stream)
	must(err)
	elected := time.Since(killed)
	for _, wait := range then {
		must(wait(ctx, killed))
	}
	pause(ctx, time.Second)
	must(servers.Node(leader).Restart(ctx))
	must(servers.WaitReady(ctx))
	return elected
}

// journalsMove waits until the flows' stream has a message that is younger than since,
// and returns by how much.
func (r *rig) journalsMove(ctx context.Context, since time.Time) (time.Duration, error) {
	for {
		if stream, err := r.client.JetStream().Stream(ctx, contract.FlowStream); err == nil {
			if last := stream.CachedInfo().State.LastTime; last.After(since) {
				return last.Sub(since), nil
			}
		}
		select {
		case <-time.After(pollEvery):
		case <-ctx.Done():
			return 0, errors.Join(fmt.Errorf("no flow moves any more"), ctx.Err())
		}
	}
}
