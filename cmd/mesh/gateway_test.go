package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/cmd/mesh/bench"
	"github.com/ordermesh/ordermesh/contracts/gateway"
	"github.com/ordermesh/ordermesh/contracts/orders"
)

// TestEveryRouteIsCalled: no method has a route that the gateway does not know, and no two
// have the same.
func TestEveryRouteIsCalled(t *testing.T) {
	t.Parallel()
	declared := gateway.Routed(descriptors(allServices())...)
	seen := map[string]bool{}
	for _, m := range declared {
		pattern := m.HTTP.Verb + " " + m.HTTP.Path
		if seen[pattern] || !strings.HasPrefix(m.HTTP.Path, gateway.Prefix+"/") {
			t.Errorf("%s has the route %s, which is another's or not below %s", m.FullName(), pattern, gateway.Prefix)
		}
		seen[pattern] = true
		same := func(called contract.MethodInfo) bool { return called.Subject() == m.Subject() }
		if !slices.ContainsFunc(gateway.Descriptor.Calls, same) {
			t.Errorf("%s has a route and the gateway does not call it: name its service in contracts/gateway", m.FullName())
		}
	}
	if len(declared) != len(gateway.Descriptor.Calls) || len(declared) < 8 {
		t.Errorf("%d routes are declared, the gateway has %d", len(declared), len(gateway.Descriptor.Calls))
	}
}

// web is a client of the HTTP API.
type web struct {
	t   *testing.T
	url string
}

// answered is what came back beside the body.
type answered struct {
	status int
	header http.Header
}

// do sends a request; headers come in pairs.
func (w web) do(verb, path, body string, headers ...string) (answered, []byte) {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), verb, w.url+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		w.t.Fatalf("%s %s: %v", verb, path, err)
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return answered{response.StatusCode, response.Header}, data
}

func (w web) get(path string) (int, string) {
	w.t.Helper()
	response, data := w.do("GET", path, "")
	return response.status, string(data)
}

// ended waits for an order's end with conditional requests.
func (w web) ended(id string) orders.Order {
	w.t.Helper()
	version := uint64(1)
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		response, data := w.do("GET", fmt.Sprintf("/api/v1/orders/%s?min_version=%d", id, version), "")
		if response.status != http.StatusOK {
			continue // it waits for longer than a request may take
		}
		order := decode[orders.Order](w.t, data)
		if order.Status == orders.Delivered || order.Status == orders.Cancelled {
			return order
		}
		version = order.Version + 1
	}
	w.t.Fatalf("order %s does not end", id)
	return orders.Order{}
}

// TestGateway: the life of orders over HTTP, with everything that stands behind it.
func TestGateway(t *testing.T) {
	t.Parallel()
	mesh := startMesh(t, devArgs("--ephemeral", "--set", "orders.hold_over=5000")...)
	w, s := web{t, mesh.note.HTTP}, mesh.shop()

	t.Run("an order is delivered", func(t *testing.T) {
		t.Parallel()
		w := web{t, w.url}
		response, data := w.do("POST", "/api/v1/orders", sampleOrder, "Idempotency-Key", "key-1")
		placed := decode[orders.Order](t, data)
		if response.status != 201 || placed.OrderID != orders.DeriveID(contract.Actor{}, "key-1") || response.header.Get("ETag") != `"1"` {
			t.Fatalf("%d %v %s", response.status, response.header, data)
		}
		order := w.ended(placed.OrderID)
		if order.Status != orders.Delivered || types(order) != goodLife {
			t.Errorf("status %s, history %s", order.Status, types(order))
		}
		over := shop{t, s.nc}.place(sampleOrder, "Idempotency-Key", "key-1")
		if over.OrderID != placed.OrderID || over.Version != 1 {
			t.Errorf("the same key over NATS: %+v", over)
		}
		response, _ = w.do("GET", response.header.Get("Location"), "", "If-None-Match", fmt.Sprintf(`"%d"`, order.Version))
		if response.status != http.StatusNotModified {
			t.Errorf("If-None-Match: %d", response.status)
		}
		if response, data = w.do("POST", "/api/v1/orders/"+placed.OrderID+"/cancel", `{"reason":"late"}`); response.status != 412 {
			t.Errorf("a cancel after delivery: %d %s", response.status, data)
		}
	})
	t.Run("a cancel of what was seen", func(t *testing.T) {
		t.Parallel()
		w := web{t, w.url}
		_, data := w.do("POST", "/api/v1/orders", with(`"quantity":2`, `"quantity":5`), "Idempotency-Key", "key-held")
		id := decode[orders.Order](t, data).OrderID
		for _, data = w.do("GET", "/api/v1/orders/"+id+"?min_version=2", ""); decode[orders.Order](t, data).Status != orders.OnHold; {
			t.Fatalf("not on hold: %s", data)
		}
		cancel := func(version int, key string) (int, string) {
			response, data := w.do("POST", "/api/v1/orders/"+id+"/cancel", `{"reason":"changed my mind"}`, "If-Match", fmt.Sprintf(`"%d"`, version), "Idempotency-Key", key)
			return response.status, string(data)
		}
		if status, body := cancel(1, "c1"); status != 412 || !strings.Contains(body, `"order_changed"`) {
			t.Errorf("stale If-Match: %d %s", status, body)
		}
		if status, body := cancel(2, "c2"); status != 200 || !strings.Contains(body, `"cancelled"`) {
			t.Errorf("If-Match: %d %s", status, body)
		}
		if status, body := cancel(2, "c2"); status != 200 {
			t.Errorf("the same again: %d %s", status, body)
		}
	})
	t.Run("fifty at once", func(t *testing.T) {
		t.Parallel()
		w := web{t, w.url}
		ids := make([]string, 50)
		var all sync.WaitGroup
		for i := range ids {
			all.Go(func() {
				if response, data := w.do("POST", "/api/v1/orders", sampleOrder, "Idempotency-Key", "key-50"); response.status == 201 {
					ids[i] = decode[orders.Order](t, data).OrderID
				}
			})
		}
		all.Wait()
		if ids = slices.Compact(ids); len(ids) != 1 || ids[0] == "" {
			t.Errorf("orders %v", ids)
		}
		if order := w.ended(ids[0]); order.Status != orders.Delivered || len(shop{t, s.nc}.charges(ids[0])) != 1 {
			t.Errorf("%s, %d charges", order.Status, len(s.charges(ids[0])))
		}
		if response, data := w.do("POST", "/api/v1/orders", with(`"quantity":2`, `"quantity":3`), "Idempotency-Key", "key-50"); response.status != 422 {
			t.Errorf("the key with another body: %d %s", response.status, data)
		}
	})
	t.Run("clients that go", func(t *testing.T) {
		t.Parallel()
		testClientsThatGo(web{t, w.url})
	})
	t.Run("lists", func(t *testing.T) {
		t.Parallel()
		w := web{t, w.url}
		products, next := 0, "/api/v1/products?limit=4"
		for next != "" {
			response, data := w.do("GET", next, "")
			products += strings.Count(string(data), `"sku"`)
			next, _, _ = strings.Cut(strings.TrimPrefix(response.header.Get("Link"), "<"), ">")
		}
		if products != len(sampleCatalog()) {
			t.Errorf("%d products over pages, want %d", products, len(sampleCatalog()))
		}
		for path, want := range map[string]string{
			"/api/v1/products/TEA-001": `"price"`, "/api/v1/stock/TEA-001": `"available"`, "/api/v1/stock?sku_prefix=TEA": `"on_hand"`, "/api/v1/openapi.json": `"3.1.0"`,
		} {
			if status, body := w.get(path); status != 200 || !strings.Contains(body, want) {
				t.Errorf("%s: %d %s", path, status, body)
			}
		}
	})
	t.Run("another host", func(t *testing.T) {
		t.Parallel()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.url+"/api/v1/orders", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = "evil.example"
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != http.StatusForbidden {
			t.Errorf("a name that leads here from elsewhere: %d", response.StatusCode)
		}
	})
}

// testClientsThatGo sends orders and hangs up at any moment: each is there as a whole or not
// at all, and asking again gets it.
func testClientsThatGo(w web) {
	w.t.Helper()
	const clients = 30
	request := "POST /api/v1/orders HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nIdempotency-Key: gone-%d\r\nContent-Length: " +
		fmt.Sprint(len(sampleOrder)) + "\r\n\r\n" + sampleOrder
	for i := range clients {
		conn, err := net.Dial("tcp", strings.TrimPrefix(w.url, "http://"))
		if err != nil {
			w.t.Fatal(err)
		}
		text := fmt.Sprintf(request, i)
		_, _ = io.WriteString(conn, text[:len(text)-(i%3)*10]) // some are cut off
		_ = conn.Close()
	}
	for i := range clients {
		response, data := w.do("POST", "/api/v1/orders", sampleOrder, "Idempotency-Key", fmt.Sprint("gone-", i))
		if placed := decode[orders.Order](w.t, data); response.status != 201 || placed.Version != 1 || placed.Total.Minor != 2598 {
			w.t.Errorf("gone-%d: %d %s", i, response.status, data)
		}
	}
}

// TestTwoGateways: behind a balancer it does not matter which one answers; metrics are on
// the second listener alone; an end finishes what runs and is known at /readyz first.
func TestTwoGateways(t *testing.T) {
	t.Parallel()
	mesh := startMesh(t, devArgs("--ephemeral", "--admin", "127.0.0.1:0")...)
	run := []string{"run", "gateway", "--nats", mesh.note.NATS, "--http", "127.0.0.1:0", "--admin", "127.0.0.1:0"}
	first, second := startMesh(t, run...), startMesh(t, run...)
	one, two := web{t, first.note.HTTP}, web{t, second.note.HTTP}
	for _, c := range []*child{mesh, first} {
		open, admin := web{t, c.note.HTTP}, web{t, c.note.Admin}
		if status, body := open.get("/metrics"); status != 404 {
			t.Errorf("metrics for callers: %d, %d bytes", status, len(body))
		}
		if status, body := open.get("/readyz?verbose"); status != 200 || body != "ready\n" {
			t.Errorf("/readyz?verbose for callers: %d %s", status, body)
		}
		if status, body := admin.get("/readyz?verbose"); status != 200 || !strings.Contains(body, "[+] gateway\n") {
			t.Errorf("/readyz?verbose: %d %s", status, body)
		}
		if status, body := admin.get("/metrics"); status != 200 || !strings.Contains(body, "mesh_http_in_flight") {
			t.Errorf("/metrics: %d, %d bytes", status, len(body))
		}
		if status, _ := admin.get("/api/v1/orders"); status != 404 {
			t.Errorf("the API on the admin listener: %d", status)
		}
	}
	_, data := one.do("POST", "/api/v1/orders", sampleOrder, "Idempotency-Key", "k")
	placed := decode[orders.Order](t, data)
	if _, data = two.do("POST", "/api/v1/orders", sampleOrder, "Idempotency-Key", "k"); decode[orders.Order](t, data).OrderID != placed.OrderID {
		t.Errorf("%s, want order %s", data, placed.OrderID)
	}
	two.ended(placed.OrderID)

	waiting := make(chan int, 1)
	go func() { // for a version that does not come: until its time is over
		response, _ := one.do("GET", "/api/v1/orders/"+placed.OrderID+"?min_version=99", "", "Mesh-Timeout", "3000")
		waiting <- response.status
	}()
	admin := web{t, first.note.Admin}
	bustest.Eventually(t, patience, func() bool {
		_, metrics := admin.get("/metrics")
		return strings.Contains(metrics, "mesh_http_in_flight 1")
	})
	if err := first.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	bustest.Eventually(t, patience, func() bool {
		status, body := admin.get("/readyz")
		return status == 503 && body == "draining\n"
	})
	if status := <-waiting; status != http.StatusGatewayTimeout {
		t.Errorf("the request that ran at the end: %d, want its own answer", status)
	}
	if code := first.wait(); code != exitGood {
		t.Errorf("exit code %d\n%s", code, first.log)
	}
	if status, _ := two.get("/api/v1/orders/" + placed.OrderID); status != 200 {
		t.Errorf("the other gateway: %d", status)
	}
}

// TestBenchHTTP: both sides of both kinds of requests are measured.
func TestBenchHTTP(t *testing.T) {
	t.Parallel()
	report, err := bench.HTTP(startInstantDoor)(t.Context(), bench.Options{Rounds: 1, Duration: 20 * time.Millisecond, Concurrency: []int{2}, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Rows) != 2 {
		t.Errorf("%d rows, want 2", len(report.Rows))
	}
	for _, row := range report.Rows {
		if row.Ours.Count < 2 || row.Raw == nil || row.Raw.Count < 2 || row.OpsRatio <= 0 {
			t.Errorf("%+v", row)
		}
	}
}
