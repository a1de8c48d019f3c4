package main

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/flow"
	"github.com/ordermesh/ordermesh/cmd/mesh/chaos"
	"github.com/ordermesh/ordermesh/contracts/orders"
)

// TestApart: one process per service, started in random order against a server that
// has nothing yet, is the same mesh. Then orders dies and comes back, and payments is
// gone for a while: orders are placed meanwhile and go on afterwards.
func TestApart(t *testing.T) {
	t.Parallel()
	server := bustest.Server(t)
	names := serviceNames()
	rand.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	t.Logf("order of start: %v", names)
	processes := map[string]*child{}
	for _, name := range names {
		processes[name] = launchMesh(t, "run", name, "--nats", server.URL(), "--http", "127.0.0.1:0")
	}
	for _, p := range processes {
		p.awaitReady()
		if status, body := p.get("/readyz"); status != 200 {
			t.Errorf("%v: /readyz %d %s", p.cmd.Args, status, body)
		}
	}
	s := shop{t, dial(t, server.URL())}
	s.stock("TEA-001", 1299, 100)
	if order := s.ended(s.place(sampleOrder).OrderID); order.Status != orders.Delivered || types(order) != goodLife {
		t.Errorf("status %s, history %s", order.Status, types(order))
	}

	placed := s.place(sampleOrder)
	processes["orders"].kill()
	startMesh(t, "run", "orders", "--nats", server.URL())
	if order := s.ended(placed.OrderID); order.Status != orders.Delivered || types(order) != goodLife {
		t.Errorf("after kill -9 of orders: status %s, history %s", order.Status, types(order))
	}

	s.ended(s.place(sampleOrder).OrderID) // now orders has the key with which tokens are sealed
	processes["payments"].kill()
	placed = s.place(sampleOrder)
	s.attempted(placed.OrderID, 2)
	processes["payments"] = startMesh(t, "run", "payments", "--nats", server.URL())
	if order := s.ended(placed.OrderID); order.Status != orders.Delivered || types(order) != goodLife {
		t.Errorf("after an outage of payments: status %s, history %s", order.Status, types(order))
	}
	comesToRest(t, server.URL())
	// What services make for themselves in development is what is made for them in production.
	runs{"topology plan --replicas 1", exitGood, []string{"nothing to do"}}.on(t, server.URL())
	for name, p := range processes {
		if name == "orders" {
			continue
		}
		if code := p.stop(); code != exitGood {
			t.Errorf("%s: exit code %d after SIGTERM\n%s", name, code, p.log)
		}
	}
}

// attempted waits until a step of an order's checkout was tried so many times.
func (s shop) attempted(id string, tries int) {
	s.t.Helper()
	conn, err := bus.Dial(s.t.Context(), bus.Config{URL: s.nc.ConnectedUrl(), Service: "test"})
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close()
	checkouts := flow.NewClient(conn, orders.Descriptor.Name)
	bustest.Eventually(s.t, patience, func() bool {
		state, err := checkouts.Get(s.t.Context(), orders.CheckoutFlow, id)
		return err == nil && len(state.Steps) > 0 && state.Steps[len(state.Steps)-1].Attempts >= tries
	})
}

// TestTwoOfEverything: every service runs in two processes in profile production, each
// as the user that is meant for it and with no more rights than its descriptor derives.
func TestTwoOfEverything(t *testing.T) { //nolint:tparallel // what follows the spine waits for it
	t.Parallel()
	testTwoOfEverything(t, oneServer(t))
}

// TestTwoOfEverythingOnThreeServers is the same on a cluster with three copies of
// everything, users that an operator's accounts have signed, and TLS both ways.
func TestTwoOfEverythingOnThreeServers(t *testing.T) { //nolint:tparallel // as above
	t.Parallel()
	if chaos.ScaleFromEnv() == chaos.Short {
		t.Skip("nineteen processes; MESH_CHAOS=ci runs it")
	}
	testTwoOfEverything(t, threeServers(t))
}

// testTwoOfEverything starts all in random order and holds the mesh to the spine's
// checks. Then orders of every kind come in while one process of each service dies for
// good; the other one goes on with its work.
func testTwoOfEverything(t *testing.T, g *ground) {
	t.Helper()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	pairs := g.launchPairs(t, random)
	s := g.shop(t)
	t.Run("spine", func(t *testing.T) { testSpine(t, shop{t, s.nc}) })
	testSeed(t, s, g.tool...)
	rests(t, g.tool...)
	client, ledger := g.customers(t)
	load := chaos.Load{
		Name: "pair", Orders: 160, Clients: 16, SKUs: stockShelves(s), Seed: seed,
		Mix: chaos.Mix{Declined: 15, Flaky: 15, Timeout: 5, Cancel: 20}, CancelDelay: 50 * time.Millisecond,
	}
	placed := make(chan error, 1)
	go func() { placed <- load.Run(t.Context(), client, ledger) }()
	victims := serviceNames()
	random.Shuffle(len(victims), func(i, j int) { victims[i], victims[j] = victims[j], victims[i] })
	for i, name := range victims {
		if err := ledger.Reach(t.Context(), (i+1)*load.Orders/(len(victims)+1)); err != nil {
			t.Fatal(err)
		}
		pairs[name][0].kill()
		t.Logf("kill -9 of %s after %d orders", name, ledger.Len())
	}
	if err := <-placed; err != nil {
		t.Fatal(err)
	}
	verdict, err := chaos.Rest(t.Context(), client, ledger, patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Log(verdict)
	for _, broken := range verdict.Broken {
		t.Error(broken)
	}
	if client.Internal.Load() > 0 {
		t.Errorf("%d internal errors", client.Internal.Load())
	}
	for name, pair := range pairs {
		if code := pair[1].stop(); code != exitGood {
			t.Errorf("%s: exit code %d after SIGTERM\n%s", name, code, pair[1].log)
		}
		for _, p := range pair {
			if strings.Contains(p.log.String(), "permission denied") {
				t.Errorf("%s was denied a subject:\n%s", name, p.log)
			}
		}
	}
}

// launchPairs starts every service twice, all in random order, and waits until all
// are ready.
func (g *ground) launchPairs(t *testing.T, random *rand.Rand) map[string][]*child {
	t.Helper()
	names := append(serviceNames(), serviceNames()...)
	random.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	t.Logf("order of start: %v", names)
	pairs := map[string][]*child{}
	for _, name := range names {
		pairs[name] = append(pairs[name], g.launch(t, name))
	}
	for _, pair := range pairs {
		for _, p := range pair {
			p.awaitReady()
		}
	}
	return pairs
}

// asUser adds a name and a password to a URL.
func asUser(t *testing.T, address, name, password string) string {
	t.Helper()
	address, err := withUser(address, name, password)
	if err != nil {
		t.Fatal(err)
	}
	return address
}

// stockShelves puts five products with more stock than anybody orders on sale.
func stockShelves(s shop) []string {
	s.t.Helper()
	var skus []string
	for i := range 5 {
		sku := fmt.Sprintf("SKU-%02d", i)
		s.stock(sku, 100*(i+1), 10_000)
		skus = append(skus, sku)
	}
	return skus
}
