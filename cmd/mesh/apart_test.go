package main

import (
	"math/rand/v2"
	"testing"

	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/contracts/orders"
)

// TestApart: one process per service, started in random order against a server that
// has nothing yet, is the same mesh. Then one of them dies and comes back.
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
	if code, out := runMesh(t, "verify", "--at-rest", "--nats", server.URL()); code != exitGood {
		t.Errorf("mesh verify: exit code %d\n%s", code, out)
	}
	for name, p := range processes {
		if name == "orders" {
			continue
		}
		if code := p.stop(); code != exitGood {
			t.Errorf("%s: exit code %d after SIGTERM\n%s", name, code, p.log)
		}
	}
}
