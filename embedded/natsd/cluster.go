package natsd

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// tries is how often a cluster is started anew when another process was quicker to
// take one of the ports that were chosen.
const tries = 3

// pollEvery is the pause between two looks at a cluster that is forming.
const pollEvery = 10 * time.Millisecond

// Cluster is a JetStream cluster within this process, for tests of replication. To
// kill a node without warning, use [StartChildCluster].
type Cluster struct {
	configs []node
	nodes   []*Server // nil while stopped
}

// StartCluster runs n servers with their stores below dir, each configured like cfg but
// for name, port and store, and returns once they have a leader and all are up to date.
func StartCluster(ctx context.Context, n int, dir string, cfg Config) (*Cluster, error) {
	return retryPorts(func() (*Cluster, error) {
		configs, err := clusterNodes(n, dir, cfg)
		if err != nil {
			return nil, err
		}
		c := &Cluster{configs: configs, nodes: make([]*Server, n)}
		for i := range configs {
			if err := c.Start(i); err != nil {
				return nil, errors.Join(err, c.Shutdown(ctx))
			}
		}
		if err := c.WaitReady(ctx); err != nil {
			return nil, errors.Join(err, c.Shutdown(context.WithoutCancel(ctx)))
		}
		return c, nil
	})
}

// clusterNodes describes n nodes that know each other; base gives the rest of their
// configuration.
func clusterNodes(n int, dir string, base Config) ([]node, error) {
	ports, err := freePorts(2 * n)
	if err != nil {
		return nil, err
	}
	nodes := make([]node, n)
	for i := range nodes {
		cfg := base
		cfg.Name = "n" + strconv.Itoa(i+1)
		cfg.Port = ports[i]
		cfg.StoreDir = filepath.Join(dir, cfg.Name)
		nodes[i] = node{Config: cfg, RoutePort: ports[n+i], RoutePorts: ports[n:]}
	}
	return nodes, nil
}

// retryPorts repeats start while a port that was just free is taken.
func retryPorts[T any](start func() (T, error)) (T, error) {
	var result T
	var err error
	for range tries {
		if result, err = start(); !errors.Is(err, ErrPortTaken) {
			break
		}
	}
	return result, err
}

// Size is the number of nodes, running or not.
func (c *Cluster) Size() int { return len(c.nodes) }

// Node is the i-th server, nil while it is stopped.
func (c *Cluster) Node(i int) *Server { return c.nodes[i] }

// URL lists every node, so that a client finds the next when one is gone.
func (c *Cluster) URL() string { return urls(c.configs) }

// Start runs the i-th node on its port and store; it does not wait for the cluster.
func (c *Cluster) Start(i int) error {
	s, err := start(c.configs[i])
	if err != nil {
		return fmt.Errorf("node %d of the cluster: %w", i+1, err)
	}
	c.nodes[i] = s
	return nil
}

// Stop ends the i-th node in good order: it hands its leaderships over.
func (c *Cluster) Stop(ctx context.Context, i int) error {
	s := c.nodes[i]
	if s == nil {
		return nil
	}
	c.nodes[i] = nil
	return s.Shutdown(ctx)
}

// WaitReady returns once the running nodes have one leader and all are up to date.
func (c *Cluster) WaitReady(ctx context.Context) error {
	return wait(ctx, "the cluster to agree on a leader", func() (bool, error) {
		leaders := 0
		for _, s := range c.nodes {
			switch {
			case s == nil:
			case !s.current():
				return false, nil
			case s.leadsMeta():
				leaders++
			}
		}
		return leaders == 1, nil
	})
}

// WaitLeader returns the index of the node that leads the stream, once one does.
func (c *Cluster) WaitLeader(ctx context.Context, stream string) (int, error) {
	leader := -1
	err := wait(ctx, "a leader of stream "+stream, func() (bool, error) {
		for i, s := range c.nodes {
			if s != nil && s.LeadsStream(stream) {
				leader = i
			}
		}
		return leader >= 0, nil
	})
	return leader, err
}

// Shutdown stops every node.
func (c *Cluster) Shutdown(ctx context.Context) error {
	var errs []error
	for i := range c.nodes {
		errs = append(errs, c.Stop(ctx, i))
	}
	return errors.Join(errs...)
}

func urls(nodes []node) string {
	list := make([]string, len(nodes))
	for i, n := range nodes {
		list[i] = n.scheme() + host + ":" + strconv.Itoa(n.Port)
	}
	return strings.Join(list, ",")
}

// wait looks until done says so or fails, or ctx ends.
func wait(ctx context.Context, what string, done func() (bool, error)) error {
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	for {
		ok, err := done()
		if ok || err != nil {
			return err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w", what, ctx.Err())
		}
	}
}
