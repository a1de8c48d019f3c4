package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"

	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/contracts/catalog"
	"github.com/ordermesh/ordermesh/contracts/orders"
	"github.com/ordermesh/ordermesh/embedded/postgres/postgrestest"
)

// runTool runs the built binary with more in the environment.
func runTool(t *testing.T, env []string, args ...string) (int, string) {
	t.Helper()
	binary, err := buildMesh()
	check(t, err)
	cmd := exec.Command(binary, args...)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

// TestAViewThatStandsStillStopsNothing loses an event of a product.
func TestAViewThatStandsStillStopsNothing(t *testing.T) {
	t.Parallel()
	mesh := launchMeshWith(t, []string{"DATABASE_URL="}, devArgs("--ephemeral")...)
	mesh.awaitReady()
	s := mesh.shop()
	s.stock("TEE", 500, 10)
	if code, out := runMesh(t, "view", "status", "--nats", mesh.note.NATS); code != exitGood || !strings.Contains(out, "product") || !strings.Contains(out, "memory") {
		t.Errorf("%d: %s", code, out)
	}
	lost := &nats.Msg{Subject: "evt.product.TEE", Header: nats.Header{}, Data: []byte(`{"v":1,"events":[{"id":"x","type":"product.put.v1","command":"c","at":"2024-01-01T00:00:00Z","data":{}}]}`)}
	contract.CommitHeader{First: 9, Last: 9}.SetTo(lost.Header.Set)
	_, err := s.nc.RequestMsg(lost, patience)
	check(t, err)
	var ready string
	bustest.Eventually(t, patience, func() bool {
		var status int
		status, ready = mesh.get("/readyz?verbose")
		return status == 200 && strings.Contains(ready, "[!] catalog: the view of product stands still")
	}, "the process to say so")
	for _, part := range []string{"[+] catalog", "evt.product.TEE", "mesh verify", "\nready\n"} {
		if !strings.Contains(ready, part) {
			t.Errorf("%q is not in\n%s", part, ready)
		}
	}
	if _, metrics := mesh.get("/metrics"); !strings.Contains(metrics, `mesh_view_halted{entity="product",service="catalog"} 1`) {
		t.Error("no metric says so")
	}
	code, out := runMesh(t, "view", "status", "--nats", mesh.note.NATS)
	if code != exitBad || !strings.Contains(out, "stands still") || !strings.Contains(out, "evt.product.TEE") {
		t.Errorf("%d: %s", code, out)
	}
	s.stock("CUP", 500, 10)
	page := decode[catalog.Products](t, s.must("catalog.list", `{}`))
	if !page.Halted || page.Behind == 0 {
		t.Errorf("the list does not say so: %+v", page)
	}
	if order := s.ended(s.place(orderJSON("CUP", 1, "tok_ok")).OrderID); order.Status != orders.Delivered {
		t.Errorf("%+v", order)
	}
}

// TestViewsInPostgreSQL has a mesh with a server of its own.
func TestViewsInPostgreSQL(t *testing.T) {
	t.Parallel()
	postgrestest.Database(t) // or skip
	mesh := launchMeshWith(t, []string{"DATABASE_URL="}, devArgs("--ephemeral", "--postgres")...)
	mesh.awaitReady()
	s := mesh.shop()
	order := s.ended(s.place(sampleOrder).OrderID)
	listed := decode[orders.Orders](t, s.must("orders.list", `{"reflects":{"id":"`+order.OrderID+`","version":`+fmt.Sprint(order.Version)+`}}`))
	if len(listed.Orders) != 1 || listed.Orders[0].Status != orders.Delivered || listed.Halted {
		t.Errorf("%+v", listed)
	}
	env := []string{"DATABASE_URL=" + mesh.note.Database, "NATS_URL=" + mesh.note.NATS}
	if code, out := runTool(t, env, "view", "status"); code != exitGood || !strings.Contains(out, "orders.orders") {
		t.Errorf("status %d: %s", code, out)
	}
	if code, out := runTool(t, env, "view", "verify"); code != exitGood || strings.Count(out, "ok ") != len(storedViews()) {
		t.Errorf("verify %d: %s", code, out)
	}
	tamper(t, mesh.note.Database, order.OrderID)
	if code, out := runTool(t, env, "view", "verify", "order"); code != exitBad || !strings.Contains(out, "1 differ: "+order.OrderID) {
		t.Errorf("verify %d: %s", code, out)
	}
	if code, out := runTool(t, env, "view", "rebuild", "orders", "--json"); code != exitGood || !strings.Contains(out, `"generation":1`) {
		t.Errorf("rebuild %d: %s", code, out)
	}
	if code, out := runTool(t, env, "view", "verify", "orders.orders", "--json"); code != exitGood || !strings.Contains(out, `"clean":true`) {
		t.Errorf("verify %d: %s", code, out)
	}
	for _, c := range []struct {
		args, says string
		env        []string
	}{
		{"view verify nothing", "choose from", env},
		{"view rebuild", "expected a view", env},
		{"view verify", "DATABASE_URL", []string{"DATABASE_URL=", env[1]}},
		{"view verify", "mesh view roles", []string{"DATABASE_URL=postgres://u@127.0.0.1:1/db", env[1]}},
	} {
		if code, out := runTool(t, c.env, strings.Fields(c.args)...); code != exitUsage || !strings.Contains(out, c.says) {
			t.Errorf("%s: %d %s", c.args, code, out)
		}
	}
	if code := mesh.stop(); code != exitGood {
		t.Errorf("exit code %d", code)
	}
}

func tamper(t *testing.T, url, order string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	check(t, err)
	_, err = conn.Exec(t.Context(), "UPDATE orders.orders SET status = 'cancelled' WHERE key = $1", order)
	check(t, err)
	check(t, conn.Close(t.Context()))
}
