package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/policy"
	wire "github.com/ordermesh/ordermesh/contracts/gateway"
	"github.com/ordermesh/ordermesh/contracts/orders"
	"github.com/ordermesh/ordermesh/services/gateway"
)

// TestRoutes: each route answers what its method answers, with what HTTP adds to it.
func TestRoutes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	made := w.order("k1", goodOrder)
	id := orders.DeriveID(contract.Actor{}, "k1")
	if o := decode[orders.Order](t, made.body); made.status != 201 || o.OrderID != id {
		t.Fatalf("%d %s, want order %s: that of the same key over NATS", made.status, made.body, id)
	}
	if made.header.Get("Location") != "/api/v1/orders/"+id || made.header.Get("ETag") != `"1"` || made.header.Get("Cache-Control") != "no-store" {
		t.Errorf("the answer to a new order: %v", made.header)
	}
	got := w.do("GET", "/api/v1/orders/"+id+"?min_version=7", "")
	if o := decode[orders.Order](t, got.body); got.status != 200 || o.Version != 7 || got.header.Get("ETag") != `"7"` || got.header.Get("Content-Type") != "application/json" {
		t.Errorf("%d %v %s", got.status, got.header, got.body)
	}
	for tag, status := range map[string]int{`"1"`: 304, `W/"1"`: 304, `"9", "1"`: 304, "*": 304, `"2"`: 200, "": 200} {
		if a := w.do("GET", "/api/v1/orders/"+id, "", "If-None-Match", tag); a.status != status || (a.body == "") != (status == 304) || a.header.Get("ETag") != `"1"` {
			t.Errorf("If-None-Match %s: %d %s", tag, a.status, a.body)
		}
	}
	if a := w.do("HEAD", "/api/v1/orders/"+id, ""); a.status != 200 || a.body != "" || a.header.Get("ETag") != `"1"` {
		t.Errorf("HEAD: %d %v", a.status, a.header)
	}
	list := w.do("GET", "/api/v1/orders?customer_id=c1&status=placed&from=2026-11-01T00:00:00Z&limit=1", "")
	if l := decode[orders.Orders](t, list.body); list.status != 200 || l.Orders[0].CustomerID != "c1" || l.Orders[0].Status != orders.Placed {
		t.Errorf("%d %s", list.status, list.body)
	}
	if link := list.header.Get("Link"); link != `</api/v1/orders?cursor=next-page&customer_id=c1&from=2026-11-01T00%3A00%3A00Z&limit=1&status=placed>; rel="next"` {
		t.Errorf("Link: %s", link)
	}
	done := w.do("POST", "/api/v1/orders/"+id+"/cancel", `{"reason":"changed my mind"}`, "If-Match", `"1"`)
	if o := decode[orders.Order](t, done.body); done.status != 200 || o.OrderID != id || o.Reason != "changed my mind" || done.header.Get("ETag") != `"2"` {
		t.Errorf("%d %v %s", done.status, done.header, done.body)
	}
	for path, want := range map[string]string{
		"/api/v1/products/TEA-001?current=true": `"name":"Assam"`, "/api/v1/products?active=false&sku_prefix=TEA": `"products":[]`,
		"/api/v1/stock/TEA-001": `"on_hand":5`, "/api/v1/stock?available_below=3&reflects.id=TEA-001&reflects.version=9": `"behind":9`,
	} {
		if a := w.do("GET", path, ""); a.status != 200 || !strings.Contains(a.body, want) {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
	if link := w.do("GET", "/api/v1/stock?available_below=3&reflects.id=TEA-001&reflects.version=9", "").header.Get("Link"); !strings.Contains(link, "cursor=a%2Bb&") {
		t.Errorf("Link: %s", link)
	}
}

// TestRouterIsTheContracts: what the contracts declare is routed and described, and nothing
// else is; what the description names is what a request may have.
func TestRouterIsTheContracts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	document := decode[struct {
		Paths map[string]map[string]struct {
			OperationID string `json:"operationId"`
			Parameters  []struct {
				Name string `json:"name"`
				In   string `json:"in"`
			} `json:"parameters"`
			Responses map[string]contract.Raw `json:"responses"`
		} `json:"paths"`
		Components struct {
			Schemas map[string]struct {
				Properties map[string]contract.Raw `json:"properties"`
			} `json:"schemas"`
		} `json:"components"`
	}](t, w.do("GET", "/api/v1/openapi.json", "").body)
	described := 0
	for _, verbs := range document.Paths {
		described += len(verbs)
	}
	if want := wire.Descriptor.Calls; described != len(want) || described < 8 {
		t.Errorf("%d operations are described, %d declared", described, len(want))
	}
	for _, m := range wire.Descriptor.Calls {
		op := document.Paths[m.HTTP.Path][strings.ToLower(m.HTTP.Verb)]
		if op.OperationID != m.FullName() || len(op.Responses) != 2 {
			t.Errorf("%s %s is described as %+v", m.HTTP.Verb, m.HTTP.Path, op)
		}
		path := m.HTTP.Path
		for _, name := range m.HTTP.Members {
			path = strings.ReplaceAll(path, "{"+name+"}", "TEA-001")
		}
		other := map[string]string{"GET": "DELETE", "POST": "PUT"}[m.HTTP.Verb]
		refusal := w.do(other, path, "")
		refusal.refused(t, other+" "+path, 405)
		if !strings.Contains(refusal.header.Get("Allow"), m.HTTP.Verb) {
			t.Errorf("%s: Allow %q", path, refusal.header.Get("Allow"))
		}
		if a := w.do(m.HTTP.Verb, path, ""); a.status == 404 && strings.Contains(a.body, "no_route") || a.status == 405 {
			t.Errorf("%s %s is not routed: %d", m.HTTP.Verb, path, a.status)
		}
		for _, p := range op.Parameters {
			if p.In != "query" {
				continue
			}
			a := w.do("GET", path+"?"+p.Name+"=%00", "")
			if r := a.refused(t, p.Name, 400); r.Field != "/"+strings.ReplaceAll(p.Name, ".", "/") {
				t.Errorf("%s: the parameter %s is not known: %s", m.FullName(), p.Name, a.body)
			}
		}
	}
	if len(document.Components.Schemas["orders.Order"].Properties) < 10 || len(document.Components.Schemas["problem"].Properties) < 8 {
		t.Errorf("schemas: %v", document.Components.Schemas)
	}
}

// TestWhatTravels: actor, command, deadline, trace and the name of the request.
func TestWhatTravels(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	a := w.do("POST", "/api/v1/orders", goodOrder, "Idempotency-Key", "k1", "Mesh-Timeout", "7000", "traceparent", parent,
		"X-Request-ID", "r-17", "Mesh-Actor", "who=root&for=c9", "Nats-Rollup", "all")
	got := w.last()
	if a.status != 201 || got.command != "k1" || !strings.Contains(got.trace, "4bf92f3577b34da6a3ce929d0e0e4736") {
		t.Errorf("%d, the service heard %+v", a.status, got)
	}
	if got.actor.Request != "r-17" || got.actor.Who != "" || got.actor.For != "" || a.header.Get("X-Request-ID") != "r-17" {
		t.Errorf("actor %+v: what a caller says of itself must not be believed", got.actor)
	}
	if got.left > 4*time.Second || got.left < 0 { // an attempt's own time
		t.Errorf("%v left at the service", got.left)
	}
	w.do("GET", "/api/v1/orders/o1", "", "Mesh-Timeout", "900")
	if got := w.last(); got.left > 900*time.Millisecond {
		t.Errorf("%v left at the service, of 900ms", got.left)
	}
	for _, header := range []string{"a b", "<x>", strings.Repeat("a", 65)} {
		if a := w.do("GET", "/api/v1/orders/o1", "", "X-Request-ID", header); a.header.Get("X-Request-ID") == header {
			t.Errorf("the request id %q was taken", header)
		}
	}
	w.do("POST", "/api/v1/orders/o1/cancel", `{"reason":"r"}`)
	first := w.last().command
	w.do("POST", "/api/v1/orders/o1/cancel", `{"reason":"r"}`)
	if second := w.last().command; first == "" || first == second {
		t.Errorf("commands without a key: %q and %q", first, second)
	}
	for name, want := range map[string]string{
		"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
		"Access-Control-Allow-Origin": "", "Server": "",
	} {
		if got := a.header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	w.do("GET", "/api/v1/orders/a%0d%0ab", "", "X-Request-ID", "r-18")
	w.do("GET", "/api/v1/none?token=secret", "", "X-Request-ID", "r-19")
	bustest.Eventually(t, patience, func() bool { return strings.Contains(w.log.String(), "r-19") })
	log := w.log.String()
	for _, want := range []string{`"request_id":"r-17"`, `"verb":"POST"`, `"path":"/api/v1/orders"`, `"status":201`, `"reason":"no_route"`} {
		if !strings.Contains(log, want) {
			t.Errorf("the log has no %s:\n%s", want, log)
		}
	}
	if strings.Contains(log, "secret") || strings.Contains(log, "a\r") {
		t.Errorf("the log tells too much:\n%s", log)
	}
}

// TestOneKeyOneOrder: 50 callers at once, a retry, another body, another caller.
func TestOneKeyOneOrder(t *testing.T) {
	t.Parallel()
	w := newWorldWith(t, gateway.Config{Identify: func(r *http.Request) (contract.Actor, error) {
		switch user := r.Header.Get("Authorization"); user {
		case "":
			return contract.Actor{}, contract.NewError(contract.Unauthenticated, "no_token", "say who you are")
		default:
			return contract.Actor{Who: user, For: r.Header.Get("For")}, nil
		}
	}}, true)
	place := func(user, key, body string, more ...string) answer {
		return w.do("POST", "/api/v1/orders", body, append([]string{"Authorization", user, "Idempotency-Key", key}, more...)...)
	}
	var all sync.WaitGroup
	ids := make([]string, 50)
	for i := range ids {
		all.Go(func() {
			if a := place("ada", "k1", goodOrder); a.status == 201 {
				ids[i] = decode[orders.Order](t, a.body).OrderID
			}
		})
	}
	all.Wait()
	if slices.Sort(ids); ids[0] == "" || ids[0] != ids[49] || w.stored() != 1 {
		t.Errorf("%d orders: %v", w.stored(), slices.Compact(ids))
	}
	if p := place("ada", "k1", strings.Replace(goodOrder, `"quantity":2`, `"quantity":3`, 1)).refused(t, "another body", 422); p.Reason != "key_reused" {
		t.Errorf("%+v", p)
	}
	if a := place("eve", "k1", goodOrder); a.status != 201 || decode[orders.Order](t, a.body).OrderID == ids[0] {
		t.Errorf("another caller's key: %d %s", a.status, a.body)
	}
	place("", "k1", goodOrder).refused(t, "nobody", 401)
	if p := place("ada", "k2", goodOrder, "For", "c2").refused(t, "for another customer", 403); p.Reason != "other_customer" {
		t.Errorf("%+v", p)
	}
}

// TestErrorsOfServices are passed on, but for what is internal.
func TestErrorsOfServices(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, c := range []struct {
		err    error
		status int
		reason string
	}{
		{orders.ErrProduct.At("/lines/0/sku"), 422, "unknown_product"},
		{contract.NewError(contract.Conflict, "taken", "it is taken"), 409, "taken"},
		{contract.ErrExhausted.After(61500 * time.Millisecond), 429, "overloaded"},
		{contract.ErrUnavailable.After(time.Minute), 503, "unavailable"},
		{contract.ErrDeadline, 504, "deadline_exceeded"},
		{errors.New("disk 7 is on fire"), 500, "internal"},
		{contract.NewError(contract.Internal, "secret_reason", "table users"), 500, "internal"},
	} {
		w.first(func(context.Context) error { return c.err })
		a := w.order("k-"+c.reason, goodOrder)
		p := a.refused(t, c.reason, c.status)
		if p.Reason != c.reason || strings.Contains(a.body, "fire") || strings.Contains(a.body, "users") {
			t.Errorf("%v: %s", c.err, a.body)
		}
		if e := contract.AsError(c.err); e.Field != p.Field || e.RetryAfter.Milliseconds() != p.RetryAfterMS {
			t.Errorf("%v: %+v", c.err, p)
		}
		if c.status == 429 && a.header.Get("Retry-After") != "62" {
			t.Errorf("Retry-After %q, want 62: whole seconds, not too early", a.header.Get("Retry-After"))
		}
	}
	w.first(func(ctx context.Context) error {
		<-ctx.Done()
		return ctx.Err()
	})
	w.do("POST", "/api/v1/orders", goodOrder, "Idempotency-Key", "k-slow", "Mesh-Timeout", "200").refused(t, "a slow service", 504)
}

// TestACommandWaitsForItsService: while nobody serves, as while a leader is elected, an
// order is tried again under one command id until its time is over.
func TestACommandWaitsForItsService(t *testing.T) {
	t.Parallel()
	w := newWorldWith(t, gateway.Config{}, false)
	if a := w.do("POST", "/api/v1/orders", goodOrder, "Idempotency-Key", "k1", "Mesh-Timeout", "200"); a.status != 503 && a.status != 504 {
		t.Errorf("nobody serves: %d %s", a.status, a.body)
	}
	answered := make(chan answer)
	go func() {
		answered <- w.do("POST", "/api/v1/orders", goodOrder, "Idempotency-Key", "k1", "Mesh-Timeout", "30000")
	}()
	mesh := float64(policy.Mesh().Retry.Attempts)
	bustest.Eventually(t, patience, func() bool { return w.counted("mesh_calls_repeats_total") > mesh }) // longer than services try
	var failures atomic.Int64
	w.first(func(context.Context) error {
		if failures.Add(1) < 3 {
			return contract.ErrUnavailable
		}
		return nil
	})
	w.serve()
	if a := <-answered; a.status != 201 || w.stored() != 1 || failures.Load() != 3 {
		t.Errorf("%d %s, %d orders, asked %d times", a.status, a.body, w.stored(), failures.Load())
	}
}

// TestBounds: what is too much at the same time is told to come back; a panic is one
// answer.
func TestBounds(t *testing.T) {
	t.Parallel()
	w := newWorldWith(t, gateway.Config{Settings: settings(func(s *wire.Settings) { s.Concurrent = 3 })}, true)
	arrived, free := make(chan struct{}), make(chan struct{})
	w.first(func(ctx context.Context) error {
		arrived <- struct{}{}
		select {
		case <-free:
		case <-ctx.Done():
		}
		return nil
	})
	var all sync.WaitGroup
	for i := range 3 {
		all.Go(func() {
			if a := w.order(fmt.Sprint("k", i), goodOrder); a.status != 201 {
				t.Errorf("%d %s", a.status, a.body)
			}
		})
	}
	for range 3 {
		<-arrived
	}
	if p := w.do("GET", "/api/v1/orders/o1", "").refused(t, "the fourth", 503); p.Reason != "gateway_full" || p.RetryAfterMS == 0 {
		t.Errorf("%+v", p)
	}
	close(free)
	all.Wait()
	w.do("GET", "/api/v1/orders/o1", "").refused(t, "afterwards", 404)
}

func TestAPanicIsAnAnswer(t *testing.T) {
	t.Parallel()
	w := newWorldWith(t, gateway.Config{Identify: func(*http.Request) (contract.Actor, error) { panic("a defect") }}, true)
	w.order("k1", goodOrder).refused(t, "a defect", 500)
	bustest.Eventually(t, patience, func() bool { return strings.Contains(w.log.String(), "a defect") })
}

// TestDrain: a request that runs when the end comes is answered, later ones are sent away,
// and connections are given up.
func TestDrain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	arrived, free := make(chan struct{}), make(chan struct{})
	w.first(func(context.Context) error {
		close(arrived)
		<-free
		return nil
	})
	answered := make(chan answer)
	go func() { answered <- w.order("k1", goodOrder) }()
	<-arrived
	stopped := make(chan struct{})
	go func() {
		w.stop()
		close(stopped)
	}()
	bustest.Eventually(t, patience, func() bool {
		a := w.do("GET", "/api/v1/orders/o1", "")
		return a.status == 503 && strings.Contains(a.body, `"draining"`) && a.header.Get("Retry-After") == "1"
	})
	select {
	case <-stopped:
		t.Error("the gateway ended before its request")
	default:
	}
	close(free)
	if a := <-answered; a.status != 201 {
		t.Errorf("the request that ran: %d %s", a.status, a.body)
	}
	<-stopped
}
