package gateway_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/config"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/rpc"
	"github.com/ordermesh/ordermesh/bus/telemetry"
	"github.com/ordermesh/ordermesh/contracts/catalog"
	wire "github.com/ordermesh/ordermesh/contracts/gateway"
	"github.com/ordermesh/ordermesh/contracts/inventory"
	"github.com/ordermesh/ordermesh/contracts/money"
	"github.com/ordermesh/ordermesh/contracts/orders"
	"github.com/ordermesh/ordermesh/services/gateway"
)

func TestMain(m *testing.M) { bustest.Main(m) }

const patience = 30 * time.Second

const goodOrder = `{"customer_id":"c1","lines":[{"sku":"TEA-001","quantity":2}],"payment":{"token":"tok_ok"},` +
	`"ship_to":{"name":"Ada","line1":"1 Main St","city":"Berlin","postal_code":"10115","country":"DE"}}`

// world is a gateway and the services behind it, played by the test: orders in a map.
type world struct {
	t      *testing.T
	broker *bustest.Broker
	url    string
	log    *logBuffer
	tel    *telemetry.Telemetry
	server *http.Server
	svc    *gateway.Service
	stop   func()
	times  func(*http.Server) // changes those of the next listen

	asked atomic.Int64 // requests that reached a service

	mu     sync.Mutex
	placed map[string]orders.PlaceOrder
	calls  []call
	before func(ctx context.Context) error // asked first by orders.place
}

// call is what a service heard of a request.
type call struct {
	actor   contract.Actor
	command string
	left    time.Duration
	trace   string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return newWorldWith(t, gateway.Config{}, true)
}

// newWorldWith leaves the services out if they are to come later.
func newWorldWith(t *testing.T, cfg gateway.Config, served bool) *world {
	t.Helper()
	w := &world{t: t, broker: bustest.Server(t), log: &logBuffer{}, placed: map[string]orders.PlaceOrder{}}
	if served {
		w.serve()
	}
	tel, err := telemetry.New(telemetry.Config{Service: "gateway", Writer: w.log})
	if err != nil {
		t.Fatal(err)
	}
	w.tel = tel
	conn := w.broker.Dial(t, bustest.WithService("gateway"), bustest.WithTelemetry(tel))
	if w.svc, err = gateway.New(conn, cfg); err != nil {
		t.Fatal(err)
	}
	w.stop = bustest.Run(t, w.svc)
	w.listen()
	return w
}

func (w *world) listen() {
	w.t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	w.url = "http://" + listener.Addr().String()
	server := gateway.NewServer(w.svc, slog.New(slog.DiscardHandler))
	if w.server = server; w.times != nil {
		w.times(server)
	}
	done := make(chan struct{})
	go func() {
		_ = server.Serve(listener)
		close(done)
	}()
	w.t.Cleanup(func() {
		_ = server.Close()
		<-done
	})
}

// settings are the defaults with a change.
func settings(change func(*wire.Settings)) func() wire.Settings {
	s := config.Defaults[wire.Settings]()
	change(&s)
	return config.Fixed(s)
}

// serve plays the services.
func (w *world) serve() {
	w.t.Helper()
	conn := w.broker.Dial(w.t)
	bustest.Run(w.t,
		serverOf(w.t, conn, orders.Descriptor, func(s *rpc.Server) {
			rpc.Handle(s, orders.Place, w.place)
			rpc.Handle(s, orders.Get, w.get)
			rpc.Handle(s, orders.List, w.list)
			rpc.Handle(s, orders.Cancel, w.cancel)
		}),
		serverOf(w.t, conn, catalog.Descriptor, func(s *rpc.Server) {
			rpc.Handle(s, catalog.Get, answers[catalog.GetProduct](w, catalog.Product{SKU: "TEA-001", Name: "Assam", Price: money.New(1299, "EUR"), Active: true, Version: 3}))
			rpc.Handle(s, catalog.List, answers[catalog.ListProducts](w, catalog.Products{Products: []catalog.Product{}}))
		}),
		serverOf(w.t, conn, inventory.Descriptor, func(s *rpc.Server) {
			rpc.Handle(s, inventory.Get, answers[inventory.GetStock](w, inventory.Stock{SKU: "TEA-001", OnHand: 5, Available: 5, Version: 1}))
			rpc.Handle(s, inventory.List, answersTo(w, func(r inventory.ListStock) inventory.StockPage {
				if r.Reflects != nil && r.AvailableBelow != nil {
					return inventory.StockPage{Behind: r.Reflects.Version, NextCursor: "a+b"}
				}
				return inventory.StockPage{}
			}))
		}))
}

// serverOf serves the methods of a service that have a route.
func serverOf(t *testing.T, conn *bus.Conn, d contract.Service, handle func(*rpc.Server)) *rpc.Server {
	t.Helper()
	s, err := rpc.NewServer(conn, contract.Service{Name: d.Name, Version: d.Version, Serves: wire.Routed(d)})
	if err != nil {
		t.Fatal(err)
	}
	handle(s)
	return s
}

func answers[Req, Resp any](w *world, resp Resp) func(context.Context, Req) (Resp, error) {
	return answersTo(w, func(Req) Resp { return resp })
}

func answersTo[Req, Resp any](w *world, f func(Req) Resp) func(context.Context, Req) (Resp, error) {
	return func(_ context.Context, r Req) (Resp, error) {
		w.asked.Add(1)
		return f(r), nil
	}
}

func (w *world) note(ctx context.Context) {
	w.asked.Add(1)
	h := map[string][]string{}
	telemetry.InjectTrace(ctx, h)
	deadline, _ := ctx.Deadline()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls = append(w.calls, call{telemetry.ActorFrom(ctx), telemetry.CommandFrom(ctx), time.Until(deadline), strings.Join(h["traceparent"], "")})
}

func (w *world) last() call {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.calls[len(w.calls)-1]
}

// first has orders.place ask f before anything else.
func (w *world) first(f func(context.Context) error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.before = f
}

// stored is how many orders there are.
func (w *world) stored() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.placed)
}

// counted is the sum of a counter of the gateway.
func (w *world) counted(name string) (sum float64) {
	w.t.Helper()
	families, err := w.tel.Registry.Gather()
	if err != nil {
		w.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			for _, m := range f.GetMetric() {
				sum += m.GetCounter().GetValue()
			}
		}
	}
	return sum
}

// place is idempotent as the orders service is.
func (w *world) place(ctx context.Context, r orders.PlaceOrder) (orders.Order, error) {
	w.note(ctx)
	w.mu.Lock()
	before := w.before
	w.mu.Unlock()
	if before != nil {
		if err := before(ctx); err != nil {
			return orders.Order{}, err
		}
	}
	if actor := telemetry.ActorFrom(ctx); actor.For != "" && actor.For != r.CustomerID {
		return orders.Order{}, orders.ErrCustomer
	}
	id := orders.DeriveID(telemetry.ActorFrom(ctx), telemetry.CommandFrom(ctx))
	w.mu.Lock()
	defer w.mu.Unlock()
	if old, ok := w.placed[id]; ok && old.Lines[0] != r.Lines[0] {
		return orders.Order{}, orders.ErrKeyReused
	}
	w.placed[id] = r
	return orders.Order{OrderID: id, CustomerID: r.CustomerID, Status: orders.Placed, Version: 1}, nil
}

func (w *world) get(ctx context.Context, r orders.GetOrder) (orders.Order, error) {
	w.note(ctx)
	w.mu.Lock()
	defer w.mu.Unlock()
	placed, ok := w.placed[r.OrderID]
	if !ok {
		return orders.Order{}, orders.ErrUnknown
	}
	return orders.Order{OrderID: r.OrderID, CustomerID: placed.CustomerID, Status: orders.Placed, Version: max(r.MinVersion, 1)}, nil
}

func (w *world) list(ctx context.Context, r orders.ListOrders) (orders.Orders, error) {
	w.note(ctx)
	if r.Cursor == "foreign" {
		return orders.Orders{}, contract.ErrInvalid.At("/cursor").Sayf("the cursor is of another list")
	}
	return orders.Orders{Orders: []orders.Summary{{OrderID: "o1", CustomerID: r.CustomerID, Status: r.Status}}, NextCursor: "next-page"}, nil
}

func (w *world) cancel(ctx context.Context, r orders.CancelOrder) (orders.Order, error) {
	w.note(ctx)
	switch {
	case r.IfVersion > 1:
		return orders.Order{}, orders.ErrChanged
	case r.Reason == "too late":
		return orders.Order{}, orders.ErrDispatched
	}
	return orders.Order{OrderID: r.OrderID, Status: orders.Cancelled, Reason: r.Reason, Version: 2}, nil
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   string
}

// problem is the part of an error that clients rely on.
type problem struct {
	Type         string `json:"type"`
	Title        string `json:"title"`
	Status       int    `json:"status"`
	Detail       string `json:"detail"`
	Code         string `json:"code"`
	Reason       string `json:"reason"`
	Field        string `json:"field"`
	RetryAfterMS int64  `json:"retry_after_ms"`
	RequestID    string `json:"request_id"`
}

var client = &http.Client{Transport: &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 64}}

// do sends a request; headers come in pairs.
func (w *world) do(verb, path, body string, headers ...string) answer {
	w.t.Helper()
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	r, err := http.NewRequestWithContext(w.t.Context(), verb, w.url+path, reader)
	if err != nil {
		w.t.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		if r.Header.Del(headers[i]); headers[i+1] != "" {
			r.Header.Set(headers[i], headers[i+1])
		}
	}
	resp, err := client.Do(r)
	if err != nil {
		w.t.Errorf("%s %.100s: %v", verb, path, err)
		return answer{}
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Error(err)
	}
	return answer{resp.StatusCode, resp.Header, string(data)}
}

func (w *world) order(key, body string) answer {
	w.t.Helper()
	return w.do(http.MethodPost, "/api/v1/orders", body, "Idempotency-Key", key)
}

func decode[T any](t *testing.T, body string) T {
	t.Helper()
	var v T
	if err := contract.UnmarshalLenient([]byte(body), &v); err != nil {
		t.Errorf("%.200s: %v", body, err)
	}
	return v
}

// refused checks that an answer is a problem with this status, and returns it.
func (a answer) refused(t *testing.T, name string, status int) problem {
	t.Helper()
	p := decode[problem](t, a.body)
	if a.status != status || p.Status != status {
		t.Errorf("%s: status %d, in the body %d, want %d: %.300s", name, a.status, p.Status, status, a.body)
	}
	if a.header.Get("Content-Type") != "application/problem+json" || p.Title == "" || p.Detail == "" || p.Code == "" || p.Reason == "" || len(p.Detail) > 300 {
		t.Errorf("%s: not a problem: %s %.400s", name, a.header.Get("Content-Type"), a.body)
	}
	if p.RequestID == "" || p.RequestID != a.header.Get("X-Request-ID") {
		t.Errorf("%s: request id %q in the body, %q in the header", name, p.RequestID, a.header.Get("X-Request-ID"))
	}
	retry := status == 503 || status == 429
	if (a.header.Get("Retry-After") != "") != retry {
		t.Errorf("%s: %d with Retry-After %q", name, status, a.header.Get("Retry-After"))
	}
	return p
}

// logBuffer collects what is logged while others read it.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
