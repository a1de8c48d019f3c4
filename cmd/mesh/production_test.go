package main

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/cmd/mesh/chaos"
	"github.com/ordermesh/ordermesh/contracts/orders"
	"github.com/ordermesh/ordermesh/embedded/natsd"
)

// rehearsal is what a mesh on one test server has to be told to count as production.
var rehearsal = []string{"--profile", "production", "--server-sync", "always", "--single-copy", "--sandbox"}

// productionUsers are one for each service, with what its descriptor allows when the
// streams and durables are there already, and the developer.
func productionUsers(services []contract.Service) ([]natsd.User, map[string]string) {
	users, passwords := devUsers(services)
	for i, s := range services {
		allowed := s.Permissions(contract.Production)
		users[i+1].Publish, users[i+1].Subscribe, users[i+1].AllowResponses = allowed.Publish, allowed.Subscribe, allowed.Responses
	}
	return users, passwords
}

// TestProductionNamesWhatIsUnsafe: each thing by itself, and a mesh that lacks none is
// let in.
func TestProductionNamesWhatIsUnsafe(t *testing.T) {
	t.Parallel()
	conn := bustest.New(t)
	if code, out := runMesh(t, "topology", "apply", "--replicas", "1", "--nats", conn.NATS().ConnectedUrl()); code != exitGood {
		t.Fatal(out)
	}
	good := func() (production, natsFlags, []string) {
		return production{serverSync: "always", singleCopy: true, sandbox: true},
			natsFlags{url: conn.NATS().ConnectedUrl(), creds: "orders.creds"}, []string{"orders"}
	}
	admitted := func(p production, n natsFlags, names []string) string {
		dial := func(ctx context.Context, service string) (*bus.Conn, error) {
			return bus.Dial(ctx, bus.Config{URL: conn.NATS().ConnectedUrl(), Service: service})
		}
		if err := p.admit(t.Context(), &n, selectServices(names), dial); err != nil {
			return err.Error()
		}
		return ""
	}
	for _, c := range []struct {
		name  string
		spoil func(p *production, n *natsFlags, names *[]string)
		says  string
	}{
		{"nothing", func(*production, *natsFlags, *[]string) {}, ""},
		{"servers of which nobody says that they write through", func(p *production, _ *natsFlags, _ *[]string) { p.serverSync = "" }, "sync_interval: a service cannot see"},
		{"servers that write now and then", func(p *production, _ *natsFlags, _ *[]string) { p.serverSync = "2m" }, `sync_interval: it is "2m"`},
		{"single copies", func(p *production, _ *natsFlags, _ *[]string) { p.singleCopy = false }, "stream ORDERS: num_replicas is 1, should be 3"},
		{"a user without credentials", func(_ *production, n *natsFlags, _ *[]string) { n.creds = "" }, "credentials: none are given"},
		{"a password on the command line", func(_ *production, n *natsFlags, _ *[]string) { n.url = "nats://orders:secret@127.0.0.1:4222" }, "credentials: the password in --nats"},
		{"clear text", func(_ *production, n *natsFlags, _ *[]string) { n.url = "nats://10.0.0.5:4222" }, "tls: 10.0.0.5:4222 is not on this machine"},
		{"a password in clear text", func(_ *production, n *natsFlags, _ *[]string) { n.url = "orders:secret@10.0.0.5:4222" }, "were not looked at, because a password would have crossed"},
		{"one of several servers in clear text", func(_ *production, n *natsFlags, _ *[]string) {
			n.url = "tls://10.0.0.5:4222, nats://10.0.0.6:4222"
		}, "tls: 10.0.0.6:4222"},
		{"a sandbox", func(p *production, _ *natsFlags, names *[]string) { p.sandbox, *names = false, []string{"provider"} }, "sandbox: provider only plays"},
		{"a sandbox as a partner", func(p *production, _ *natsFlags, names *[]string) { p.sandbox, *names = false, []string{"payments"} }, "sandbox: the partner of payments is the sandbox provider"},
		{"a sandbox as a carrier", func(p *production, _ *natsFlags, names *[]string) { p.sandbox, *names = false, []string{"shipping"} }, "sandbox: the partner of shipping is the sandbox carrier"},
		{"one user for several services", func(_ *production, _ *natsFlags, names *[]string) { *names = []string{"orders", "catalog"} }, "credentials: one user for 2 services"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p, n, names := good()
			c.spoil(&p, &n, &names)
			if said := admitted(p, n, names); !strings.Contains(said, c.says) || (c.says == "") != (said == "") || strings.Contains(said, "secret@") {
				t.Errorf("it says %q, want %q", said, c.says)
			}
		})
	}
	t.Run("all at once", func(t *testing.T) {
		t.Parallel()
		var p production
		n := natsFlags{url: "nats://10.0.0.5:4222"}
		said := admitted(p, n, []string{"payments"})
		for _, what := range []string{"sync_interval", "tls: ", "credentials: ", "sandbox: ", "stream PAYMENTS: num_replicas"} {
			if !strings.Contains(said, what) {
				t.Errorf("%q is not named:\n%s", what, said)
			}
		}
	})
}

// TestProductionNamesDrift: a stream or a durable that somebody has changed or deleted
// keeps the service from starting, and it says which. Exit code 1.
func TestProductionNamesDrift(t *testing.T) {
	t.Parallel()
	users, passwords := productionUsers(descriptors(allServices()))
	server := bustest.Server(t, bustest.WithServer(natsd.Config{Users: users, DefaultUser: developer}))
	if code, out := runMesh(t, "topology", "apply", "--replicas", "1", "--nats", server.URL()); code != exitGood {
		t.Fatal(out)
	}
	js, err := jetstream.New(dial(t, server.URL()))
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(t.Context(), orders.Events.Info().Stream)
	if err != nil {
		t.Fatal(err)
	}
	cfg := stream.CachedInfo().Config
	cfg.MaxAge, cfg.Discard = time.Hour, jetstream.DiscardOld
	if _, err := js.UpdateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	for durable, of := range map[string]string{orders.CheckoutConsumer: cfg.Name, "orders-7": contract.FlowStream} {
		if err := js.DeleteConsumer(t.Context(), of, durable); err != nil {
			t.Fatal(err)
		}
	}
	p := launchMeshWith(t, []string{"NATS_URL=" + asUser(t, server.URL(), "orders", passwords["orders"])}, append([]string{"run", "orders"}, rehearsal...)...)
	if code := p.wait(); code != exitBad {
		t.Errorf("exit code %d", code)
	}
	for _, what := range []string{
		"stream ORDERS: max_age is 1h0m0s, should be unlimited", "stream ORDERS: discard is old, should be new",
		"consumers are missing: FLOW > orders-7, ORDERS > orders-checkout",
	} {
		if !strings.Contains(p.log.String(), what) {
			t.Errorf("it does not say %q:\n%s", what, p.log)
		}
	}
}

// TestProductionWaitsForItsServer: a service that comes before its server is not ready and
// does not end; once the server is there it looks at the streams and serves.
func TestProductionWaitsForItsServer(t *testing.T) {
	t.Parallel()
	users, passwords := productionUsers(descriptors(allServices()))
	server := bustest.Server(t, bustest.WithServer(natsd.Config{Users: users, DefaultUser: developer}))
	if code, out := runMesh(t, "topology", "apply", "--replicas", "1", "--nats", server.URL()); code != exitGood {
		t.Fatal(out)
	}
	url := asUser(t, server.URL(), "catalog", passwords["catalog"])
	server.Stop(t, "")
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(freePort(t)))
	p := launchMeshWith(t, []string{"NATS_URL=" + url}, append([]string{"run", "catalog", "--http", address}, rehearsal...)...)
	if _, why, err := chaos.AwaitReady(t.Context(), address, false, patience); err != nil || !strings.Contains(why, "starting") {
		t.Fatalf("without a server it says %q, %v", why, err)
	}
	server.Start(t)
	p.awaitReady()
	if code := p.stop(); code != exitGood {
		t.Errorf("exit code %d\n%s", code, p.log)
	}
}

// TestServersAreLookedAt: what no service can see, a user of the system account can.
func TestServersAreLookedAt(t *testing.T) {
	t.Parallel()
	note := func(sync bool, dir string) string {
		return fmt.Sprintf(`{"server":{"name":"n1"},"data":{"config":{"sync_always":%v,"sync_interval":120000000000,"store_dir":%q}}}`, sync, dir)
	}
	for _, c := range []struct {
		doc  string
		says []string
	}{
		{note(true, "/var/lib/nats/jetstream"), nil},
		{note(false, "/var/lib/nats/jetstream"), []string{"server n1 writes to its disk every 2m0s only"}},
		{note(true, "/tmp/nats/jetstream"), []string{"server n1 stores in /tmp/nats/jetstream"}},
		{note(false, "/tmp"), []string{"writes to its disk", "stores in /tmp"}},
		{`{"server":{"name":"n1"},"data":{"disabled":true}}`, nil},
	} {
		var n jetStreamNote
		if err := contract.UnmarshalLenient([]byte(c.doc), &n); err != nil {
			t.Fatal(err)
		}
		got := n.wrong()
		if len(got) != len(c.says) || slices.ContainsFunc(c.says, func(text string) bool {
			return !slices.ContainsFunc(got, func(g string) bool { return strings.Contains(g, text) })
		}) {
			t.Errorf("%s: %q, want %q", c.doc, got, c.says)
		}
	}
}
