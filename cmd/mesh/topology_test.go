package main

import (
	"strings"
	"testing"

	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/contracts/orders"
)

// TestProductionRefuses: one server with single copies is not fit for production, and
// everything that is wrong is named at once.
func TestProductionRefuses(t *testing.T) {
	t.Parallel()
	server := bustest.Server(t)
	specs := contract.Streams(descriptors(allServices())...)

	code, out := runMesh(t, "topology", "check", "--nats", server.URL())
	if code != exitBad || strings.Count(out, " is missing") != len(specs) {
		t.Errorf("check of an empty server: exit code %d, want every one of %d named:\n%s", code, len(specs), out)
	}
	code, out = runMesh(t, "topology", "apply", "--replicas", "1", "--nats", server.URL())
	if code != exitGood {
		t.Fatalf("apply: exit code %d: %s", code, out)
	}
	code, out = runMesh(t, "topology", "check", "--nats", server.URL())
	if code != exitBad || strings.Count(out, "has 1 replicas, not 3") != len(specs) {
		t.Errorf("check of single copies: exit code %d:\n%s", code, out)
	}
	code, out = runMesh(t, "run", "orders", "--profile", "production", "--nats", server.URL())
	if code != exitBad || !strings.Contains(out, "ORDERS has 1 replicas") || !strings.Contains(out, "FLOW has 1 replicas") {
		t.Errorf("run in production: exit code %d:\n%s", code, out)
	}
}

// TestProductionAccepts: on three servers, what apply makes is what check demands and
// services run on it.
func TestProductionAccepts(t *testing.T) {
	t.Parallel()
	url := bustest.Cluster(t).URL()
	for range 2 { // the second time changes nothing
		if code, out := runMesh(t, "topology", "apply", "--nats", url); code != exitGood {
			t.Fatalf("apply: exit code %d: %s", code, out)
		}
	}
	if code, out := runMesh(t, "topology", "check", "--nats", url); code != exitGood {
		t.Errorf("check: exit code %d: %s", code, out)
	}
	all := append([]string{"run", "--profile", "production", "--nats", url}, serviceNames()...)
	startMesh(t, all...)
	startMesh(t, append([]string{"run", "--nats", url}, serviceNames()...)...)
	if code, out := runMesh(t, "topology", "check", "--nats", url); code != exitGood {
		t.Errorf("services of profile dev have changed the streams: %s", out)
	}
	s := shop{t, dial(t, url)}
	s.stock("TEA-001", 1299, 5)
	if order := s.ended(s.place(sampleOrder).OrderID); order.Status != orders.Delivered || types(order) != goodLife {
		t.Errorf("status %s, history %s", order.Status, types(order))
	}
}
