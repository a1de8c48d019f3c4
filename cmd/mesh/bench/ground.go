package bench

import (
	"context"
	"errors"
	"io"
	"os"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/telemetry"
	"github.com/ordermesh/ordermesh/embedded/natsd"
)

// ground is a server, or a cluster of them, of its own for one benchmark over one
// transport.
type ground struct {
	transport string
	server    *natsd.Server
	cluster   *natsd.Cluster // instead of server
	dir       string
	conns     []*bus.Conn
}

// newGround starts a server with an empty store.
func newGround(o Options, transport string) (*ground, error) {
	dir, err := os.MkdirTemp(o.Dir, "mesh-bench-")
	if err != nil {
		return nil, err
	}
	server, err := natsd.Start(natsd.Config{Port: -1, StoreDir: dir})
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return &ground{transport: transport, server: server, dir: dir}, nil
}

// pair is a connection for each side: the library's, and one that is as nats.go makes
// it, for what is done by hand.
type pair struct{ ours, raw *bus.Conn }

func (g *ground) pair(ctx context.Context, service string) (p pair, err error) {
	if p.ours, err = g.dial(ctx, service); err != nil {
		return p, err
	}
	p.raw, err = g.dial(ctx, service+"-raw", nats.SetCustomDialer(nil))
	return p, err
}

// dial connects as a service that measures and logs as in production.
func (g *ground) dial(ctx context.Context, service string, opts ...nats.Option) (*bus.Conn, error) {
	tel, err := telemetry.New(telemetry.Config{Service: service, Writer: io.Discard})
	if err != nil {
		return nil, err
	}
	cfg := bus.Config{URL: g.url(), Service: service, Telemetry: tel, Options: opts}
	if g.transport == Pipe {
		cfg.Options = append(cfg.Options, nats.InProcessServer(g.server))
	}
	conn, err := bus.Dial(ctx, cfg)
	if err == nil {
		g.conns = append(g.conns, conn)
	}
	return conn, err
}

// provision creates streams and buckets.
func (g *ground) provision(ctx context.Context, specs []contract.StreamSpec) error {
	conn, err := g.dial(ctx, "provisioner")
	if err != nil {
		return err
	}
	return bus.Provision(ctx, conn, specs, g.replicas())
}

func (g *ground) url() string {
	if g.cluster != nil {
		return g.cluster.URL()
	}
	return g.server.URL()
}

func (g *ground) replicas() int {
	if g.cluster != nil {
		return g.cluster.Size()
	}
	return 1
}

// close ends the connections and the server and removes its store.
func (g *ground) close() error {
	for _, c := range g.conns {
		c.Close()
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if g.cluster != nil {
		return errors.Join(g.cluster.Shutdown(ctx), os.RemoveAll(g.dir))
	}
	return errors.Join(g.server.Shutdown(ctx), os.RemoveAll(g.dir))
}
