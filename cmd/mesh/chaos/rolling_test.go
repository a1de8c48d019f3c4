package chaos

import (
	"context"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/ordermesh/ordermesh/embedded/natsd"
)

// drainLimit is how long a process may take from SIGTERM to its end.
const drainLimit = 10 * time.Second

// Every service runs twice, one process each. Under load each process is asked to end and
// replaced by another, one after the other, in random order: nobody who asks again is
// refused, every process ends in good order, and nothing is done twice.
func TestRollingRestart(t *testing.T) {
	t.Parallel()
	scale := ScaleFromEnv()
	server, err := natsd.Start(natsd.Config{Port: -1, StoreDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), clusterPatience)
		defer cancel()
		if err := server.Shutdown(ctx); err != nil {
			t.Error(err)
		}
	})
	r := newRigOf(t, Plain, NewMeshOn(t, built(t, Plain), server.URL()))
	random := rand.New(rand.NewPCG(r.seed, 0))
	fleet := r.fleet(random)
	r.stock(10, 1_000_000)
	const perSecond = 40
	l := r.shape(Load{Name: "order", Orders: scale.pick(400, 20_000, 100_000), Clients: 32, Mix: everything, CancelDelay: 100 * time.Millisecond, Gate: NewGate()})
	wait := r.load(l)
	stop := steadily(r, l, perSecond)
	var drains []time.Duration
	for range scale.pick(1, 3, 20) {
		drains = append(drains, r.roll(fleet, random, scale)...)
	}
	stop()
	placed := r.ledger.Len()
	l.Gate.Close()
	if err := wait(); err != nil {
		t.Fatal(err)
	}
	if v := r.clean(time.Minute); v.Orders < placed {
		t.Errorf("%d orders were acknowledged, %d are stored", placed, v.Orders)
	}
	slices.Sort(drains)
	t.Logf("%d processes replaced under load; from SIGTERM to the end: median %v, worst %v; %d tries for the orders",
		len(drains), drains[len(drains)/2].Round(time.Millisecond), drains[len(drains)-1].Round(time.Millisecond), r.client.Tries.Load())
}

// fleet starts every service twice, in random order.
func (r *rig) fleet(random *rand.Rand) []member {
	r.Helper()
	names := append(slices.Clone(everyService), everyService...)
	random.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	fleet := make([]member, len(names))
	for i, name := range names {
		fleet[i] = member{name, r.begin(name)}
	}
	for _, m := range fleet {
		r.await(m.process)
	}
	return fleet
}

// member is a process of a fleet.
type member struct {
	service string
	process *Joined
}

// begin starts a process with one service and does not wait for it.
func (r *rig) begin(service string) *Joined {
	r.Helper()
	j, err := r.mesh.begin(r.mesh.binary, "", nil, service)
	if err != nil {
		r.Fatal(err)
	}
	return j
}

func (r *rig) await(j *Joined) {
	r.Helper()
	ctx, cancel := context.WithTimeout(r.Context(), readyTimeout)
	defer cancel()
	if err := j.process.await(ctx); err != nil {
		r.Fatal(err)
	}
}

// roll replaces every process of a fleet once, in random order; in the short form only a
// few. It tells how long each took to end.
func (r *rig) roll(fleet []member, random *rand.Rand, scale Scale) (drains []time.Duration) {
	r.Helper()
	order := random.Perm(len(fleet))
	if scale == Short {
		order = order[:4]
	}
	for _, i := range order {
		began := time.Now()
		ctx, cancel := context.WithTimeout(r.Context(), drainLimit)
		err := fleet[i].process.Stop(ctx)
		cancel()
		if err != nil {
			r.Fatalf("%s: %v", fleet[i].service, err)
		}
		drains = append(drains, time.Since(began))
		fleet[i].process = r.begin(fleet[i].service)
		r.await(fleet[i].process)
	}
	return drains
}
