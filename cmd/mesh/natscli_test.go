package main

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/micro"

	"github.com/ordermesh/ordermesh/contracts/flows"
	"github.com/ordermesh/ordermesh/contracts/orders"
)

// natsCLI runs the stock nats command against a mesh.
type natsCLI struct {
	t    *testing.T
	path string
	url  string
}

// stockCLI finds the nats command. Building it takes a minute when it was never
// built before, so an ordinary test run leaves it out.
func stockCLI(t *testing.T, url string) natsCLI {
	t.Helper()
	if os.Getenv("MESH_NATS_CLI") == "" && os.Getenv("MESH_REQUIRE_SERVICES") != "1" {
		t.Skip("set MESH_NATS_CLI to the nats command, or MESH_REQUIRE_SERVICES=1 to build it")
	}
	path, err := buildNATS()
	if err != nil {
		t.Fatal(err)
	}
	return natsCLI{t, path, url}
}

// run returns what the command prints on standard output.
func (n natsCLI) run(args ...string) string {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(n.t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, n.path, append([]string{"--server", n.url}, args...)...)
	cmd.Env = append(os.Environ(), "HOME="+n.t.TempDir(), "NATS_URL=", "NATS_CONTEXT=") // nobody's own contexts
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		n.t.Fatalf("nats %s: %v\n%s%s", strings.Join(args, " "), err, out, &stderr)
	}
	return string(out)
}

// TestStockCLI: a mesh is driven and looked into with the nats command alone.
func TestStockCLI(t *testing.T) {
	t.Parallel()
	mesh := startMesh(t, devArgs("--ephemeral")...)
	cli := stockCLI(t, mesh.note.NATS)

	placed := decode[orders.Order](t, []byte(cli.run("req", "--raw", "svc.orders.place", sampleOrder)))
	if placed.Status != orders.Placed {
		t.Errorf("nats req svc.orders.place: %+v", placed)
	}
	order := mesh.shop().ended(placed.OrderID)
	shown := decode[orders.Order](t, []byte(cli.run("req", "--raw", "svc.orders.get", `{"order_id":"`+placed.OrderID+`"}`)))
	if shown.Status != orders.Delivered || types(shown) != goodLife || shown.Version != order.Version {
		t.Errorf("nats req svc.orders.get: %+v", shown)
	}
	life := cli.run("sub", "--stream", "ORDERS", "evt.order.*", "--all", "--terminate-at-end", "--wait", "5s")
	for step := range strings.FieldsSeq(goodLife) {
		if !strings.Contains(life, "order."+step+".v1") {
			t.Errorf("nats sub --stream ORDERS shows no %s:\n%s", step, life)
		}
	}
	if refused := cli.run("req", "svc.orders.place", `{}`); !strings.Contains(refused, `"field":"/customer_id"`) {
		t.Errorf("nats req with an empty order:\n%s", refused)
	}
	checkout := decode[flows.Instance](t, []byte(cli.run("req", "--raw", flows.Get.Subject(), `{"service":"orders","flow":"checkout","id":"`+placed.OrderID+`"}`)))
	if checkout.Status != flows.Completed || len(checkout.Steps) == 0 {
		t.Errorf("nats req svc.flows.get: %+v", checkout)
	}
	if listed := cli.run("req", "--raw", flows.List.Subject(), `{"flow":"checkout","younger_than":"1h"}`); !strings.Contains(listed, placed.OrderID) {
		t.Errorf("nats req svc.flows.list does not list %s: %s", placed.OrderID, listed)
	}
	testMicro(t, cli)
}

// testMicro: `nats micro` sees every service, and its numbers are those of the
// requests that were made.
func testMicro(t *testing.T, cli natsCLI) {
	t.Helper()
	list := cli.run("micro", "ls")
	ping := cli.run("micro", "ping")
	for _, desc := range descriptors(allServices()) {
		name := desc.Name
		if len(desc.Serves) == 0 { // the gateway is asked over HTTP alone
			continue
		}
		if !strings.Contains(list, " "+name+" ") {
			t.Errorf("nats micro ls does not list %s:\n%s", name, list)
		}
		if !strings.Contains(ping, name) {
			t.Errorf("nats micro ping does not hear %s:\n%s", name, ping)
		}
	}
	info := cli.run("micro", "info", "orders")
	for _, m := range orders.Descriptor.Serves {
		if !strings.Contains(info, m.Subject()) {
			t.Errorf("nats micro info orders does not name %s:\n%s", m.Subject(), info)
		}
	}
	before := cli.stats("catalog", "get")
	const requests = 7
	for range requests {
		cli.run("req", "--raw", "svc.catalog.get", `{"sku":"TEA-001"}`)
	}
	cli.run("req", "--raw", "svc.catalog.get", `{"sku":"NONE"}`)
	after := cli.stats("catalog", "get")
	if after.NumRequests-before.NumRequests != requests+1 || after.NumErrors-before.NumErrors != 1 {
		t.Errorf("nats micro stats counted %d requests and %d errors, want %d and 1",
			after.NumRequests-before.NumRequests, after.NumErrors-before.NumErrors, requests+1)
	}
	if took := after.ProcessingTime - before.ProcessingTime; took <= 0 || took > time.Minute {
		t.Errorf("nats micro stats counted %v for %d requests", took, requests)
	}
}

// stats reads one endpoint's numbers.
func (n natsCLI) stats(service, endpoint string) micro.EndpointStats {
	n.t.Helper()
	var stats []micro.Stats
	out := n.run("micro", "stats", service, "--json")
	if err := json.Unmarshal([]byte(out), &stats); err != nil {
		n.t.Fatalf("nats micro stats %s --json: %v\n%s", service, err, out)
	}
	for _, s := range stats {
		for _, e := range s.Endpoints {
			if e.Name == endpoint {
				return *e
			}
		}
	}
	n.t.Fatalf("nats micro stats %s does not know %s:\n%s", service, endpoint, out)
	return micro.EndpointStats{}
}
