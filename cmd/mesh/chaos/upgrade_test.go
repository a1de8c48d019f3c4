package chaos

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/embedded/natsd"
)

// F25, P12: under load a mesh is upgraded process by process to the next release, which
// writes what this one does not know. Old and new work side by side and read everything;
// nothing fails, and no flow is run by code that does not know it: a checkout that the next
// release began waits where a worker of this one owns its partition, until that is gone.
func TestRollingUpgrade(t *testing.T) {
	t.Parallel()
	scale := ScaleFromEnv()
	if scale == Short {
		t.Skip("builds the next release: MESH_CHAOS=ci runs it")
	}
	side := time.Duration(scale.pick(0, 15, 60)) * time.Second
	server, err := natsd.StartChild(t.Context(), natsd.Config{Port: -1, StoreDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	older, newer := built(t, Plain), built(t, Newer)
	r := newRigOf(t, Plain, NewMeshOn(t, older, server.URL()))
	start := func(binary string) *Joined {
		j, err := r.mesh.join(t.Context(), binary, "", nil, everyService...)
		if err != nil {
			t.Fatal(err)
		}
		return j
	}
	stop := func(j *Joined) {
		if err := j.Stop(t.Context()); err != nil {
			t.Errorf("%s: %v", j.process.name, err)
		}
	}
	first, second := start(older), start(older)
	r.stock(10, 1_000_000)
	const perSecond = 20
	l := r.shape(Load{Name: "order", Orders: perSecond * int((side+20*time.Second)/time.Second), Clients: 64, Mix: everything, CancelDelay: 100 * time.Millisecond, Gate: NewGate()})
	wait := r.load(l)
	halt := steadily(r, l, perSecond)
	third := start(newer) // one of each
	stop(first)
	pause(t.Context(), side)
	fourth := start(newer) // new alone
	stop(second)
	pause(t.Context(), 5*time.Second)
	halt()
	l.Gate.Open(l.Orders)
	if err := wait(); err != nil {
		t.Fatal(err)
	}
	if v := r.clean(time.Minute); v.Orders != l.Orders {
		t.Errorf("%d orders were placed, %d are stored", l.Orders, v.Orders)
	}
	byBuild, versions := r.writers()
	t.Logf("side by side for %v; orders placed by the old build %d, by the new one %d; checkouts by version %v", side, byBuild[""], byBuild["newer"], versions)
	if byBuild[""] == 0 || byBuild["newer"] == 0 || versions[2] == 0 || versions[3] == 0 {
		t.Error("only one of the builds did the work")
	}
	stop(third)
	stop(fourth)
}

// writers counts orders by the build that placed them, and checkouts by the version of
// their code.
func (r *rig) writers() (byBuild map[string]int, versions map[int]int) {
	r.Helper()
	byBuild, versions = map[string]int{}, map[int]int{}
	all := newReader("ORDERS")
	err := all.advance(r.Context(), r.client.JetStream(), func(m jetstream.Msg, _ *jetstream.MsgMetadata) error {
		commit, err := contract.DecodeCommit(m.Data())
		if err != nil {
			return err
		}
		for _, e := range commit.Events {
			var data struct {
				Channel string `json:"channel"`
			}
			if e.Type == "order.placed.v1" {
				if err := contract.UnmarshalLenient(e.Data, &data); err != nil {
					return err
				}
				byBuild[data.Channel]++
			}
		}
		return nil
	})
	if err != nil {
		r.Fatal(err)
	}
	flows, seen := newReader(contract.FlowStream), map[string]bool{}
	err = flows.advance(r.Context(), r.client.JetStream(), func(m jetstream.Msg, _ *jetstream.MsgMetadata) error {
		_, name, id, ok := contract.ParseFlowLog(m.Subject())
		if !ok || name != "checkout" || seen[id] {
			return nil
		}
		var page struct {
			Version int `json:"version"`
		}
		if err := contract.UnmarshalLenient(m.Data(), &page); err != nil {
			return err
		}
		if page.Version > 0 {
			seen[id] = true
			versions[page.Version]++
		}
		return nil
	})
	if err != nil {
		r.Fatal(err)
	}
	return byBuild, versions
}
