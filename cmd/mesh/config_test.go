package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/ordermesh/ordermesh/contracts/orders"
)

// tune runs `mesh config` against a mesh and holds its exit code and output to what is
// expected.
func tune(t *testing.T, mesh *child, code int, says string, args ...string) string {
	t.Helper()
	got, out := runMesh(t, append(append([]string{"config"}, args...), "--nats", mesh.note.NATS)...)
	if got != code || !strings.Contains(out, says) {
		t.Errorf("mesh config %s: exit code %d, want %d and %q:\n%s", strings.Join(args, " "), got, code, says, out)
	}
	return out
}

// TestConfig changes settings while orders run: with mesh config and with a plain put into
// the bucket.
func TestConfig(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "mesh.yaml")
	if err := os.WriteFile(file, []byte("orders:\n  pay_within: 10m\nshipping:\n  transit: 2h\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	mesh := launchMeshWith(t, []string{"MESH_SHIPPING_TRANSIT=1h", "MESH_CONFIG=" + file}, devArgs("--ephemeral", "--seed=false", "--set", "orders.hold_for=2h")...)
	mesh.awaitReady()
	s := mesh.shop()
	s.stock("A", 500, 100)
	js, err := jetstream.New(s.nc)
	if err != nil {
		t.Fatal(err)
	}
	kv, err := js.KeyValue(t.Context(), "config")
	if err != nil {
		t.Fatal(err)
	}
	explained := tune(t, mesh, exitGood, "orders, 1 instance, revision 0", "explain", "orders")
	for _, want := range []string{"10m  file, " + file + ":2", "2h  flag, --set", "15m", "MESH_ORDERS_HOLD_OVER"} {
		if !strings.Contains(explained, want) {
			t.Errorf("%q is not explained:\n%s", want, explained)
		}
	}
	tune(t, mesh, exitGood, "1h     environment, MESH_SHIPPING_TRANSIT", "ls", "shipping")
	slow := s.place(orderJSON("A", 1, "tok_ok"))
	s.reaches(slow.OrderID, orders.Shipped)

	// As any NATS client does it: the next shipment is delivered at once.
	if _, err := kv.PutString(t.Context(), "shipping.transit", "0s"); err != nil {
		t.Fatal(err)
	}
	tune(t, mesh, exitGood, "up to date", "status", "shipping")
	if o := s.ended(s.place(orderJSON("A", 1, "tok_ok")).OrderID); o.Status != orders.Delivered {
		t.Errorf("%+v", o)
	}

	tune(t, mesh, exitGood, "orders.hold_over = 900 (revision 2, run by 1 of 1 instance)", "set", "orders.hold_over", "900")
	s.reaches(s.place(orderJSON("A", 2, "tok_ok")).OrderID, orders.OnHold)
	tune(t, mesh, exitBad, "must be a whole number", "set", "orders.hold_over", "9e2")
	tune(t, mesh, exitBad, "somebody else", "set", "orders.hold_over", "1", "--revision", "1")
	tune(t, mesh, exitGood, "900", "get", "orders.hold_over")

	// What cannot be used changes nothing and is seen.
	if _, err := kv.PutString(t.Context(), "orders.hold_over", "plenty"); err != nil {
		t.Fatal(err)
	}
	tune(t, mesh, exitBad, `"plenty" must be a whole number`, "status")
	s.reaches(s.place(orderJSON("A", 2, "tok_ok")).OrderID, orders.OnHold)
	tune(t, mesh, exitGood, "refused", "history", "orders.hold_over")
	tune(t, mesh, exitGood, "= 900", "rollback", "orders.hold_over")
	tune(t, mesh, exitGood, "in order by now", "status")
	tune(t, mesh, exitGood, "→  900  bucket, revision 4", "diff", "orders")
	tune(t, mesh, exitGood, "is not set in the bucket any more", "unset", "orders.hold_over")
	tune(t, mesh, exitGood, `"old":"900","new":"0","from":"default"`, "diff", "orders", "--since", "4", "--json")
	tune(t, mesh, exitBad, "no such value", "unset", "orders.hold_over")
	if o := s.ended(s.place(orderJSON("A", 2, "tok_ok")).OrderID); o.Status != orders.Delivered {
		t.Errorf("%+v", o)
	}
	tune(t, mesh, exitGood, "= 900", "rollback", "orders.hold_over", "--to", "2")
}
