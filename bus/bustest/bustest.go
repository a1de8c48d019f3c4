// Package bustest gives a test a real NATS server and connections to it.
//
// It is for tests and benchmarks of everything above package bus: there is no
// hand-written double of NATS in this module. It is not for running a mesh.
//
// It promises that every server and connection ends with its test, that two tests
// never share a server, so they may be parallel, and that a broker gives the same
// answers whether one server ("R1") or three ("R3") stand behind it; see [Each].
package bustest

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/goleak"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/auth"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/telemetry"
	"github.com/ordermesh/ordermesh/embedded/natsd"
)

// patience bounds the start and the end of servers and connections.
const patience = 60 * time.Second

type options struct {
	streams   []contract.StreamSpec
	service   string
	telemetry *telemetry.Telemetry
	server    natsd.Config
	user      string
	password  string
	auth      *auth.Folder
	tenant    string
	nats      []nats.Option
}

// Option refines a server or a connection.
type Option func(*options)

// WithStreams provisions streams and buckets before the test goes on, replicated
// as far as the broker allows.
func WithStreams(specs ...contract.StreamSpec) Option {
	return func(o *options) { o.streams = append(o.streams, specs...) }
}

// WithServices provisions every stream and bucket that the services need.
func WithServices(services ...contract.Service) Option {
	return WithStreams(contract.Streams(services...)...)
}

// WithService names the connection; the default is "test".
func WithService(name string) Option { return func(o *options) { o.service = name } }

// WithTelemetry sets where the connection logs and measures.
func WithTelemetry(t *telemetry.Telemetry) Option { return func(o *options) { o.telemetry = t } }

// WithServer sets users, limits and sync of a single server; port and store are
// always the test's own.
func WithServer(cfg natsd.Config) Option { return func(o *options) { o.server = cfg } }

// WithUser connects as a user of the server.
func WithUser(name, password string) Option {
	return func(o *options) { o.user, o.password = name, password }
}

// WithAuth makes the server trust the folder's operator, and connects with the
// credentials that the tenant has for the service (see [WithService]). Certificates that
// the folder has are used: the server demands one of its clients. Streams are made by the
// tenant's admin.
func WithAuth(folder *auth.Folder, tenant string) Option {
	return func(o *options) { o.auth, o.tenant = folder, tenant }
}

// WithNATS adds options of the NATS client.
func WithNATS(opts ...nats.Option) Option {
	return func(o *options) { o.nats = append(o.nats, opts...) }
}

func collect(opts []Option) options {
	o := options{service: "test"}
	for _, opt := range opts {
		opt(&o)
	}
	return o
}

// New starts a server for this test and connects to it.
func New(t testing.TB, opts ...Option) *bus.Conn {
	t.Helper()
	return Server(t, opts...).Dial(t, opts...)
}

// Broker is one server or a cluster that lives as long as its test.
type Broker struct {
	single  *natsd.Server
	config  natsd.Config
	cluster *natsd.Cluster
}

// Server starts a single server; its streams have one replica.
func Server(t testing.TB, opts ...Option) *Broker {
	t.Helper()
	cfg := serverConfig(t, opts)
	cfg.Port, cfg.StoreDir = -1, t.TempDir()
	s, err := natsd.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Port = s.Port()
	b := &Broker{single: s, config: cfg}
	t.Cleanup(func() { b.stop(t) })
	b.provision(t, opts)
	return b
}

// Cluster starts three servers; streams have three replicas.
func Cluster(t testing.TB, opts ...Option) *Broker {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, err := natsd.StartCluster(ctx, 3, t.TempDir(), serverConfig(t, opts))
	if err != nil {
		t.Fatal(err)
	}
	b := &Broker{cluster: c}
	t.Cleanup(func() { b.stop(t) })
	b.provision(t, opts)
	return b
}

// Each runs the test twice in parallel, as "R1" on a single server and as "R3" on a
// cluster. R3 is skipped under -short.
func Each(t *testing.T, test func(t *testing.T, b *Broker), opts ...Option) {
	t.Helper()
	t.Run("R1", func(t *testing.T) {
		t.Parallel()
		test(t, Server(t, opts...))
	})
	t.Run("R3", func(t *testing.T) {
		if testing.Short() {
			t.Skip("three servers take seconds to start")
		}
		t.Parallel()
		test(t, Cluster(t, opts...))
	})
}

// URL is where to connect.
func (b *Broker) URL() string {
	if b.cluster != nil {
		return b.cluster.URL()
	}
	return b.single.URL()
}

// Replicas is how many copies a stream can have here: 1 or 3.
func (b *Broker) Replicas() int {
	if b.cluster != nil {
		return b.cluster.Size()
	}
	return 1
}

// Dial connects; the connection is closed when the test ends, before the server.
func (b *Broker) Dial(t testing.TB, opts ...Option) *bus.Conn {
	t.Helper()
	o := collect(opts)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cfg := bus.Config{
		URL: b.URL(), Service: o.service, User: o.user, Password: o.password,
		Telemetry: o.telemetry, Options: o.nats,
	}
	o.authenticate(&cfg, o.service)
	conn, err := bus.Dial(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return conn
}

// Stop ends the server (R1), or the node that leads the stream (R3), in good order.
// Start brings it back.
func (b *Broker) Stop(t testing.TB, stream string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if b.cluster == nil {
		check(t, b.single.Shutdown(ctx))
		return
	}
	leader, err := b.cluster.WaitLeader(ctx, stream)
	check(t, err)
	check(t, b.cluster.Stop(ctx, leader))
}

// Start runs again, on the same port and store, what Stop ended, and waits until
// the broker is complete.
func (b *Broker) Start(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if b.cluster == nil {
		b.restartSingle(t)
		return
	}
	for i := range b.cluster.Size() {
		if b.cluster.Node(i) == nil {
			check(t, b.cluster.Start(i))
		}
	}
	check(t, b.cluster.WaitReady(ctx))
}

// restartSingle tries again while a passing connection of another program has the
// port by chance.
func (b *Broker) restartSingle(t testing.TB) {
	t.Helper()
	Eventually(t, patience, func() bool {
		s, err := natsd.Start(b.config)
		if errors.Is(err, natsd.ErrPortTaken) {
			return false
		}
		check(t, err)
		b.single = s
		return true
	}, "the server's port to be free again")
}

func (b *Broker) stop(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if b.cluster != nil {
		check(t, b.cluster.Shutdown(ctx))
		return
	}
	check(t, b.single.Shutdown(ctx))
}

// provision makes the streams with an identity that may do so; a server with users
// must then have a default user.
func (b *Broker) provision(t testing.TB, opts []Option) {
	t.Helper()
	specs := collect(opts).streams
	if len(specs) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cfg := bus.Config{URL: b.URL(), Service: "provisioner"}
	o := collect(opts)
	o.authenticate(&cfg, auth.Admin)
	conn, err := bus.Dial(ctx, cfg)
	check(t, err)
	defer conn.Close()
	check(t, bus.Provision(ctx, conn, specs, b.Replicas()))
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Eventually waits until cond holds, looking at it again and again, and fails the
// test after the time-out. what says what was waited for.
func Eventually(t testing.TB, timeout time.Duration, cond func() bool, what ...any) {
	t.Helper()
	deadline := time.NewTimer(timeout)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-tick.C:
		case <-deadline.C:
			if !cond() {
				t.Fatalf("waited %s in vain for %s", timeout, describe(what))
			}
			return
		}
	}
}

func describe(what []any) string {
	if len(what) == 0 {
		return "a condition"
	}
	return fmt.Sprint(what...)
}

// Main is a package's TestMain: it runs the tests and then fails when a goroutine
// is left. In a process that was started as a NATS node it is that node; see
// natsd.StartChild.
func Main(m *testing.M, opts ...goleak.Option) {
	natsd.ChildMain()
	Parallel()
	goleak.VerifyTestMain(m, opts...)
}

// Parallel is for a TestMain: unless -parallel says otherwise or -fuzz is on, more tests
// run at once than there are processors, because tests here wait for servers, leaders
// and timers more than they compute.
func Parallel() {
	flag.Parse()
	chosen := false
	flag.Visit(func(f *flag.Flag) { chosen = chosen || f.Name == parallelFlag || f.Name == fuzzFlag })
	if chosen {
		return
	}
	if err := flag.Set(parallelFlag, strconv.Itoa(max(atOnce, runtime.GOMAXPROCS(0)))); err != nil {
		panic(err) // the testing package has no such flag any more
	}
}

const (
	parallelFlag = "test.parallel"
	fuzzFlag     = "test.fuzz" // then -parallel counts processes that compute
	atOnce       = 8
)

// NoLeak fails the test when it ends with goroutines that it did not start with. It
// is for tests that are not parallel; packages of parallel tests use [Main].
func NoLeak(t testing.TB) {
	t.Helper()
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, before) })
}
