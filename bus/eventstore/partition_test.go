package eventstore_test

import (
	"context"
	"net"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/embedded/natsd"
)

// network is what lies between the nodes of a cluster, one link for each direction in
// which a node may open a route.
type network struct {
	t     *testing.T
	links map[[2]int]*bustest.Link
}

func (n *network) via(from, to, port int) int {
	l := bustest.NewLink(n.t, net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	n.links[[2]int{from, to}] = l
	return l.Port()
}

// part separates one node from all others and calls heal to bring it back.
func (n *network) part(node int) (heal func()) {
	var cut []*bustest.Link
	for ends, l := range n.links {
		if ends[0] == node || ends[1] == node {
			cut = append(cut, l)
			l.Hold()
		}
	}
	return func() {
		for _, l := range cut {
			l.Release()
		}
	}
}

// F07: the leader is cut off from the other servers, not from its clients. A minority
// acknowledges nothing, nobody decides on what it remembers, and no history forks: the
// answers before, meanwhile and after are those of one counter after the other.
func TestLinearizableWhileLeadersAreCutOff(t *testing.T) {
	if os.Getenv("MESH_LONG") == "" {
		t.Skip("leaders are away for 8 s each: MESH_LONG=1 runs it")
	}
	t.Parallel()
	n := &network{t: t, links: map[[2]int]*bustest.Link{}}
	cluster, err := natsd.StartChildClusterVia(t.Context(), 3, t.TempDir(), natsd.Config{}, n.via)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeAll(t, cluster) })
	var urls []string
	for i := range 3 {
		urls = append(urls, cluster.Node(i).URL())
	}
	cutOff := func(ctx context.Context) error {
		leader, err := cluster.WaitLeader(ctx, stream.Name)
		if err != nil {
			return err
		}
		begun := time.Now()
		heal := n.part(leader)
		defer heal()
		select {
		case <-time.After(8 * time.Second): // this long is the fault itself
		case <-ctx.Done():
			return ctx.Err()
		}
		heal()
		err = cluster.WaitReady(ctx)
		t.Logf("node %d, the leader, was cut off; all agree again after %v", leader+1, time.Since(begun).Round(time.Millisecond))
		return err
	}
	operations, _ := linearSize()
	linearizable(t, urls, 3, operations, 4, cutOff)
}
