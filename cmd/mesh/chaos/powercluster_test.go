package chaos

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/ordermesh/ordermesh/embedded/natsd"
)

// powers is a cluster of servers on forgetful disks with a stream of which every
// acknowledgement is remembered.
type powers struct {
	*testing.T
	nodes   []*powered
	cluster *natsd.ChildCluster
	stream  *ackedStream
}

// powerCluster starts three such servers that sync always.
func powerCluster(t *testing.T) (*rig, *powers, func(time.Duration)) {
	t.Helper()
	dir := t.TempDir()
	all := &powers{T: t}
	for _, name := range []string{"n1", "n2", "n3"} {
		all.nodes = append(all.nodes, supply(t, filepath.Join(dir, name)))
	}
	ctx, cancel := context.WithTimeout(t.Context(), clusterPatience)
	defer cancel()
	var err error
	if all.cluster, err = natsd.StartChildCluster(ctx, len(all.nodes), dir, natsd.Config{SyncAlways: true}); err != nil {
		t.Fatal(err)
	}
	for i, p := range all.nodes {
		p.server = all.cluster.Node(i)
	}
	r := &rig{T: t, seed: seed(t)}
	t.Logf("MESH_CHAOS_SEED=%d", r.seed)
	all.stream = newAcked(t, clientOf(t, all.cluster.URL()), len(all.nodes))
	return r, all, all.stream.publish
}

func (p *powers) must(errs ...error) {
	p.Helper()
	for _, err := range errs {
		if err != nil {
			p.Fatal(err)
		}
	}
}

func (p *powers) restart() {
	p.Helper()
	for _, n := range p.nodes {
		n.restart()
	}
}

// lead waits until the servers agree and the stream has a leader.
func (p *powers) lead() {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.Context(), clusterPatience)
	defer cancel()
	p.must(p.cluster.WaitReady(ctx))
	_, err := p.cluster.WaitLeader(ctx, cutStream)
	p.must(err)
}

func (p *powers) acked() int { return p.stream.count() }

// complete fails the test where something acknowledged is missing, whoever of the servers
// answers: the leader of the moment.
func (p *powers) complete() {
	p.Helper()
	if lost := p.stream.lost(); len(lost) > 0 {
		p.Fatalf("of %d acknowledged messages %d are lost, such as %v", p.acked(), len(lost), lost[:min(10, len(lost))])
	}
}
