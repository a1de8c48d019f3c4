package natsd

import (
	"context"
	"errors"
	"sync"
)

// ChildCluster is a JetStream cluster of which every node is a process of its own.
type ChildCluster struct {
	nodes []*Child
}

// StartChildCluster runs n nodes with their stores below dir, each configured like
// cfg but for name, port and store. It returns once they have a leader and all are
// up to date.
func StartChildCluster(ctx context.Context, n int, dir string, cfg Config) (*ChildCluster, error) {
	return StartChildClusterVia(ctx, n, dir, cfg, nil)
}

// StartChildClusterVia is StartChildCluster whose nodes reach each other through
// something that a test can cut: via returns the port on which node from, counted from
// 0, finds node to, who listens on port. Clients and nodes are told of no other way.
func StartChildClusterVia(ctx context.Context, n int, dir string, cfg Config, via func(from, to, port int) int) (*ChildCluster, error) {
	return retryPorts(func() (*ChildCluster, error) {
		configs, err := clusterNodes(n, dir, cfg)
		if err != nil {
			return nil, err
		}
		if via != nil {
			detour(configs, via)
		}
		c := &ChildCluster{nodes: make([]*Child, n)}
		errs := make([]error, n)
		var started sync.WaitGroup
		for i, config := range configs {
			started.Go(func() {
				c.nodes[i] = &Child{node: config}
				errs[i] = c.nodes[i].Restart(ctx)
			})
		}
		started.Wait()
		err = errors.Join(errs...)
		if err == nil {
			err = c.WaitReady(ctx)
		}
		if err != nil {
			return nil, errors.Join(err, c.Close())
		}
		return c, nil
	})
}

// detour sends the routes of each node through via.
func detour(nodes []node, via func(from, to, port int) int) {
	for from := range nodes {
		ports := make([]int, 0, len(nodes)-1)
		for to := range nodes {
			if to != from {
				ports = append(ports, via(from, to, nodes[to].RoutePort))
			}
		}
		nodes[from].RoutePorts, nodes[from].Detour = ports, true
	}
}

// Node is the i-th node.
func (c *ChildCluster) Node(i int) *Child { return c.nodes[i] }

// URL lists every node, so that a client finds the next when one is gone.
func (c *ChildCluster) URL() string {
	configs := make([]node, len(c.nodes))
	for i, child := range c.nodes {
		configs[i] = child.node
	}
	return urls(configs)
}

// WaitReady returns once the running nodes have one leader and all are up to date. A
// frozen node counts as running, so it keeps WaitReady waiting.
func (c *ChildCluster) WaitReady(ctx context.Context) error {
	return wait(ctx, "the cluster to agree on a leader", func() (bool, error) {
		leaders := 0
		for _, child := range c.nodes {
			switch {
			case child.proc == nil:
			case !child.ask(ctx, "current"):
				return false, nil
			case child.ask(ctx, "meta"):
				leaders++
			}
		}
		return leaders == 1, nil
	})
}

// WaitLeader returns the index of the node that leads the stream, once one does.
func (c *ChildCluster) WaitLeader(ctx context.Context, stream string) (int, error) {
	leader := -1
	err := wait(ctx, "a leader of stream "+stream, func() (bool, error) {
		for i, child := range c.nodes {
			if child.ask(ctx, "leads "+stream) {
				leader = i
			}
		}
		return leader >= 0, nil
	})
	return leader, err
}

// Close ends every node in good order.
func (c *ChildCluster) Close() error {
	errs := make([]error, len(c.nodes))
	var closed sync.WaitGroup
	for i, child := range c.nodes {
		closed.Go(func() { errs[i] = child.Close() })
	}
	closed.Wait()
	return errors.Join(errs...)
}
