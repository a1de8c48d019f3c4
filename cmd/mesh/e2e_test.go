package main

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/contracts/orders"
	"github.com/ordermesh/ordermesh/contracts/sandbox"
)

// devArgs start a mesh that disturbs no other.
func devArgs(more ...string) []string {
	return append([]string{"dev", "--nats-port", "0", "--http", "127.0.0.1:0"}, more...)
}

// The life of an order that goes well.
const goodLife = "placed confirmed dispatched shipped delivered"

func TestDev(t *testing.T) {
	t.Parallel()
	mesh := startMesh(t, devArgs("--ephemeral")...)
	s := mesh.shop()

	t.Run("an order is delivered", func(t *testing.T) {
		t.Parallel()
		s := shop{t, s.nc}
		began := time.Now()
		placed := s.place(sampleOrder)
		if placed.Status != orders.Placed || placed.Version != 1 || placed.Total.Minor != 2598 || placed.Total.Currency != "EUR" {
			t.Errorf("placed: %+v", placed)
		}
		order := s.ended(placed.OrderID)
		t.Logf("delivered after %v", time.Since(began))
		if order.Status != orders.Delivered || types(order) != goodLife {
			t.Errorf("status %s, history %s", order.Status, types(order))
		}
		for i, change := range order.History {
			if change.Version != uint64(i+1) || change.At.IsZero() {
				t.Errorf("change %d: %+v", i, change)
			}
		}
		if order.PaymentID == "" || order.ShipmentID == "" {
			t.Errorf("payment %q, shipment %q", order.PaymentID, order.ShipmentID)
		}
	})
	testSpine(t, s)
	t.Run("HTTP", func(t *testing.T) {
		t.Parallel()
		testHealth(t, mesh)
	})
	t.Run("seed", func(t *testing.T) {
		t.Parallel()
		s := shop{t, s.nc}
		for _, p := range sampleCatalog() {
			s.must("catalog.get", fmt.Sprintf(`{"sku":%q}`, p.sku))
			if stock := s.stockOf(p.sku); stock.OnHand < 1 {
				t.Errorf("%s has no stock: %+v", p.sku, stock)
			}
		}
		if len(sampleCatalog()) != 11 {
			t.Errorf("%d products", len(sampleCatalog()))
		}
	})
}

// charges reads the provider's book: what the outside world was really asked for.
func (s shop) charges(order string) []sandbox.ChargeRecord {
	s.t.Helper()
	js, err := jetstream.New(s.nc)
	if err != nil {
		s.t.Fatal(err)
	}
	book, err := js.KeyValue(s.t.Context(), sandbox.ProviderBook)
	if err != nil {
		s.t.Fatal(err)
	}
	keys, err := book.ListKeysFiltered(s.t.Context(), sandbox.ChargeKeyIn("*"))
	if err != nil {
		s.t.Fatal(err)
	}
	var found []sandbox.ChargeRecord
	for key := range keys.Keys() {
		entry, err := book.Get(s.t.Context(), key)
		if err != nil {
			s.t.Fatal(err)
		}
		if record := decode[sandbox.ChargeRecord](s.t, entry.Value()); record.OrderID == order {
			found = append(found, record)
		}
	}
	return found
}

// testIdempotency places one order many times.
func testIdempotency(t *testing.T, s shop) {
	t.Helper()
	s.stock("SKU-once", 1000, 100)
	body := orderJSON("SKU-once", 1, "tok_ok")
	const callers = 50
	ids := make([]string, callers)
	var all sync.WaitGroup
	for i := range ids {
		all.Go(func() {
			data, refusal := s.ask("orders.place", body, "Idempotency-Key", "key-1")
			var o orders.Order
			if refusal != nil || contract.Unmarshal(data, &o) != nil {
				t.Errorf("caller %d: %v %s", i, refusal, data)
				return
			}
			ids[i] = o.OrderID
		})
	}
	all.Wait()
	for i, id := range ids {
		if id != ids[0] {
			t.Fatalf("caller %d got order %s, caller 0 got %s", i, id, ids[0])
		}
	}
	first := s.ended(ids[0])
	if first.Status != orders.Delivered || len(s.charges(ids[0])) != 1 {
		t.Errorf("the one order is %s with %d charges", first.Status, len(s.charges(ids[0])))
	}
	if stock := s.stockOf("SKU-once"); stock.OnHand != 99 {
		t.Errorf("stock afterwards: %+v, want 99 on hand", stock)
	}
	if _, refusal := s.ask("orders.place", orderJSON("SKU-once", 2, "tok_ok"), "Idempotency-Key", "key-1"); refusal == nil || refusal.Code != contract.Unprocessable {
		t.Errorf("the same key with another body: %v, want unprocessable", refusal)
	}
	s.must("catalog.put", `{"sku":"SKU-once","name":"dearer","price":{"amount":9900,"currency":"EUR"}}`)
	again := s.place(body, "Idempotency-Key", "key-1")
	if again.OrderID != ids[0] || again.Total.Minor != 1000 || again.Status != orders.Placed || again.Version != 1 {
		t.Errorf("a retry after a price change: %+v, want the order as it was placed", again)
	}
}

func testHealth(t *testing.T, mesh *child) {
	t.Helper()
	if status, body := mesh.get("/livez"); status != 200 || body != "alive\n" {
		t.Errorf("/livez: %d %q", status, body)
	}
	if status, body := mesh.get("/readyz"); status != 200 || body != "ready\n" {
		t.Errorf("/readyz: %d %q", status, body)
	}
	_, body := mesh.get("/readyz?verbose")
	for _, name := range append(serviceNames(), "nats") {
		if !strings.Contains(body, "[+] "+name+"\n") {
			t.Errorf("/readyz?verbose does not name %s:\n%s", name, body)
		}
	}
	if status, body := mesh.get("/metrics"); status != 200 || !strings.Contains(body, `service="orders"`) {
		t.Errorf("/metrics: %d, %d bytes without the orders service", status, len(body))
	}
	if status, _ := mesh.get("/debug/pprof/"); status != 404 {
		t.Errorf("/debug/pprof/: %d, want 404", status)
	}
}

// TestStop: an orderly end is exit code 0 and leaves nothing of an ephemeral mesh.
func TestStop(t *testing.T) {
	t.Parallel()
	mesh := startMesh(t, devArgs("--ephemeral", "--seed=false")...)
	if _, err := os.Stat(mesh.note.Data); err != nil {
		t.Fatal(err)
	}
	if code := mesh.stop(); code != exitGood {
		t.Errorf("exit code %d after SIGTERM\n%s", code, mesh.log)
	}
	if _, err := os.Stat(mesh.note.Data); !os.IsNotExist(err) {
		t.Errorf("%s is still there: %v", mesh.note.Data, err)
	}
}

// TestSecondSignal: the first signal waits for running requests, the second does not.
func TestSecondSignal(t *testing.T) {
	t.Parallel()
	mesh := startMesh(t, devArgs("--ephemeral")...)
	nc := mesh.connect()
	order := shop{t, nc}.place(sampleOrder)
	waiting := nats.NewMsg("svc.orders.get")
	waiting.Reply, waiting.Data = nc.NewInbox(), []byte(fmt.Sprintf(`{"order_id":%q,"min_version":99}`, order.OrderID))
	waiting.Header["Mesh-Timeout"] = []string{"60000"}
	if err := errors.Join(nc.PublishMsg(waiting), nc.Flush()); err != nil {
		t.Fatal(err)
	}
	bustest.Eventually(t, patience, func() bool { // the request has arrived
		_, metrics := mesh.get("/metrics")
		return regexp.MustCompile(`mesh_rpc_server_outstanding\{.*service="orders".*\} [1-9]`).MatchString(metrics)
	})
	signalled := time.Now()
	if err := mesh.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	bustest.Eventually(t, patience, func() bool {
		status, body := mesh.get("/readyz")
		return status == 503 && body == "draining\n"
	})
	bustest.Eventually(t, patience, func() bool { return time.Since(signalled) > 2*sameSignal })
	if err := mesh.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := mesh.wait(); code != exitBad || !strings.Contains(mesh.log.String(), "second signal") {
		t.Errorf("exit code %d\n%s", code, mesh.log)
	}
}

// TestKill: what was acknowledged before kill -9 is there afterwards and goes on.
func TestKill(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	mesh := startMesh(t, devArgs("--data", data)...)
	s := mesh.shop()
	const count = 40
	acked := make(chan string, count)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range count / 4 {
				body, refusal := s.ask("orders.place", sampleOrder)
				var o orders.Order
				if refusal != nil || contract.Unmarshal(body, &o) != nil {
					t.Errorf("place: %v", refusal)
					return
				}
				acked <- o.OrderID
			}
		})
	}
	all.Wait()
	mesh.kill()
	close(acked)

	again := startMesh(t, devArgs("--data", data)...)
	s = again.shop()
	for id := range acked {
		if order := s.ended(id); order.Status != orders.Delivered || types(order) != goodLife {
			t.Errorf("order %s: %s, %s", id, order.Status, types(order))
		}
	}
	if stock := s.stockOf("TEA-001"); stock.OnHand != 1000-2*count || stock.Reserved != 0 {
		t.Errorf("stock afterwards: %+v, want %d on hand: the seed is sown once", stock, 1000-2*count)
	}
	comesToRest(t, again.note.NATS)
	if code := again.stop(); code != exitGood {
		t.Errorf("exit code %d after SIGTERM\n%s", code, again.log)
	}
}
