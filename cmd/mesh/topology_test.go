package main

import (
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/cmd/mesh/topology"
	"github.com/ordermesh/ordermesh/contracts/orders"
)

// runs is one command of a test: its exit code and what its output must hold.
type runs struct {
	args string
	code int
	says []string
}

func (r runs) on(t *testing.T, url string) string {
	t.Helper()
	code, out := runMesh(t, append(strings.Fields(r.args), "--nats", url)...)
	if code != r.code {
		t.Errorf("mesh %s: exit code %d, want %d:\n%s", r.args, code, r.code, out)
	}
	for _, text := range r.says {
		if !strings.Contains(out, text) {
			t.Errorf("mesh %s does not say %q:\n%s", r.args, text, out)
		}
	}
	return out
}

// TestTopology: plan shows what apply does, apply does it once, and what would lose
// something keeps it from doing anything.
func TestTopology(t *testing.T) {
	t.Parallel()
	conn := bustest.New(t)
	url, js := conn.NATS().ConnectedUrl(), conn.JetStream()
	all := descriptors(allServices())
	things := len(contract.Streams(all...)) + len(contract.Consumers(all...))

	runs{"topology check", exitBad, []string{"stream ORDERS is missing", "consumers are missing: ", "ORDERS > orders-checkout", "FLOW > orders-15"}}.on(t, url)
	out := runs{"topology plan --replicas 1", exitGood, []string{"+ stream ORDERS\n", "+ bucket config\n", "+ objects flow_payload\n", "+ consumer FLOW > orders-0\n"}}.on(t, url)
	if n := strings.Count(out, "\n+ ") + 1; n != things {
		t.Errorf("%d lines with a plus, want %d:\n%s", n, things, out)
	}
	runs{"topology apply --replicas 1", exitGood, []string{"with 1 replicas", "stream ORDERS", "consumer ORDERS > orders-checkout"}}.on(t, url)
	runs{"topology plan --replicas 1", exitGood, []string{"nothing to do"}}.on(t, url)
	runs{"topology apply --replicas 1", exitGood, []string{"nothing to do"}}.on(t, url)
	runs{"topology apply --replicas 1 --json", exitGood, []string{`"applied":[]`, `"create":0`}}.on(t, url)
	runs{"topology plan --json", exitGood, []string{`"field":"num_replicas","is":"1","should":"3"`}}.on(t, url)
	runs{"topology check", exitBad, []string{"stream ORDERS: num_replicas is 1, should be 3", "bucket config: num_replicas is 1, should be 3"}}.on(t, url)
	runs{"topology apply --replicas 2", exitUsage, []string{"--replicas 2 is not possible"}}.on(t, url)

	ordersStream, err := js.Stream(t.Context(), orders.Events.Info().Stream)
	if err != nil {
		t.Fatal(err)
	}
	cfg := ordersStream.CachedInfo().Config
	cfg.Subjects, cfg.MaxMsgs = append(cfg.Subjects, "evt.invoice.*"), 1_000_000
	if _, err := js.UpdateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	if err := js.DeleteConsumer(t.Context(), cfg.Name, orders.CheckoutConsumer); err != nil {
		t.Fatal(err)
	}
	runs{"topology plan --replicas 1", exitBad, []string{"! stream ORDERS", "max_msgs is 1000000, should be unlimited", "+ consumer ORDERS > orders-checkout", "1 to create, 0 to change, 1 refused"}}.on(t, url)
	runs{"topology apply --replicas 1", exitBad, []string{"nothing was done", "subjects is evt.invoice.*, evt.order.*", "taking evt.invoice.* away"}}.on(t, url)
	if _, err := js.Consumer(t.Context(), cfg.Name, orders.CheckoutConsumer); err != jetstream.ErrConsumerNotFound { //nolint:errorlint // it is this one
		t.Errorf("something was done: %v", err)
	}
	cfg.Subjects = []string{orders.Events.Info().Filter()}
	if _, err := js.UpdateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	runs{"topology apply --replicas 1", exitGood, []string{"created 1 and changed 1"}}.on(t, url)
}

// TestTopologyExport: the manifests are written with and without a file.
func TestTopologyExport(t *testing.T) {
	t.Parallel()
	file := t.TempDir() + "/jetstream.yaml"
	code, out := runMesh(t, "topology", "export", "--account", "shop")
	if code != exitGood || !strings.Contains(out, "apiVersion: "+topology.ManifestAPI) || !strings.Contains(out, "account: shop") {
		t.Errorf("exit code %d:\n%.300s", code, out)
	}
	if code, out := runMesh(t, "topology", "export", "--file", file, "--json"); code != exitGood || !strings.Contains(out, `"resources":`) {
		t.Errorf("exit code %d: %.300s", code, out)
	}
}
