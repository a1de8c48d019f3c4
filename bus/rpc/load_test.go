package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/policy"
	"github.com/ordermesh/ordermesh/bus/rpc"
	"github.com/ordermesh/ordermesh/bus/telemetry"
)

const patience = 30 * time.Second

// gate is a handler that waits until it is opened and says how many wait.
type gate struct {
	waiting atomic.Int64
	open    chan struct{}
}

func newGate() *gate { return &gate{open: make(chan struct{})} }

func (g *gate) handle(ctx context.Context, req greetReq) (greetResp, error) {
	g.waiting.Add(1)
	defer g.waiting.Add(-1)
	select {
	case <-g.open:
		return hello(ctx, req)
	case <-ctx.Done():
		return greetResp{}, ctx.Err()
	}
}

func TestRequestsRunAtTheSameTimeUpToTheLimit(t *testing.T) {
	t.Parallel()
	const limit, queue = 20, 7
	conn, g := bustest.New(t), newGate()
	start(t, conn, g.handle, rpc.WithConcurrency(limit), rpc.WithQueue(queue))
	client := rpc.NewClient(conn, rpc.WithRetry(1, 0, 0))
	var wg sync.WaitGroup
	failed := make(chan error, limit+queue)
	call := func() {
		if _, err := rpc.Call(t.Context(), client, greet, greetReq{}, rpc.WithTimeout(patience)); err != nil {
			failed <- err
		}
	}
	for range limit {
		wg.Go(call)
	}
	bustest.Eventually(t, patience, func() bool { return g.waiting.Load() == limit }, "all slots taken")

	// The queue fills, and everything beyond it is refused at once with a time to wait.
	for range queue {
		wg.Go(call)
	}
	var refused *contract.Error
	bustest.Eventually(t, patience, func() bool {
		_, err := rpc.Call(t.Context(), client, greet, greetReq{}, rpc.WithTimeout(50*time.Millisecond))
		return errors.As(err, &refused) && refused.Code == contract.Exhausted
	}, "a refusal")
	if refused.RetryAfter <= 0 {
		t.Errorf("no time to wait: %+v", refused)
	}
	wireError(t, ask(t, conn.NATS(), greet.Subject(), "{}", nil), contract.Exhausted)
	if n := g.waiting.Load(); n != limit {
		t.Errorf("%d handlers run, the limit is %d", n, limit)
	}
	close(g.open)
	wg.Wait()
	close(failed)
	for err := range failed {
		// Probes with a short time-out may have taken a place in the queue.
		if !errors.Is(err, contract.ErrExhausted) {
			t.Errorf("an accepted request failed: %v", err)
		}
	}
	if _, err := rpc.Call(t.Context(), client, greet, greetReq{}); err != nil {
		t.Errorf("after the overload: %v", err)
	}
}

// Handlers that have been short all the time may block one day; nobody may wait
// behind them, not even when all who read are caught at once.
func TestShortHandlersThatTurnLongHoldUpNobody(t *testing.T) {
	t.Parallel()
	conn, g := bustest.New(t), newGate()
	start(t, conn, func(ctx context.Context, req greetReq) (greetResp, error) {
		if req.Name == "block" {
			return g.handle(ctx, req)
		}
		return hello(ctx, req)
	})
	client := rpc.NewClient(conn)
	var wg sync.WaitGroup
	for range 4 {
		for range 300 { // the server learns that this method is short
			if _, err := rpc.Call(t.Context(), client, greet, greetReq{}); err != nil {
				t.Fatal(err)
			}
		}
		before := g.waiting.Load()
		const blocked = 10
		for range blocked {
			wg.Go(func() {
				if _, err := rpc.Call(t.Context(), client, greet, greetReq{Name: "block"}, rpc.WithTimeout(patience)); err != nil {
					t.Error(err)
				}
			})
		}
		if _, err := rpc.Call(t.Context(), client, greet, greetReq{}, rpc.WithTimeout(patience)); err != nil {
			t.Errorf("a short request waited behind blocked ones: %v", err)
		}
		bustest.Eventually(t, patience, func() bool { return g.waiting.Load() == before+blocked }, "all blocked requests run at once")
	}
	close(g.open)
	wg.Wait()
}

func TestPanicsBecomeInternal(t *testing.T) {
	t.Parallel()
	log := &lines{}
	tel, err := telemetry.New(telemetry.Config{Service: "hello", Writer: log})
	if err != nil {
		t.Fatal(err)
	}
	conn := bustest.New(t, bustest.WithTelemetry(tel))
	start(t, conn, func(ctx context.Context, req greetReq) (greetResp, error) {
		switch req.Name {
		case "panic":
			panic("secret \x1b[31m detail")
		case "out of range":
			req.Tags[len(req.Name)] = ""
		case "goexit":
			runtime.Goexit()
		}
		return hello(ctx, req)
	}, rpc.WithConcurrency(2))
	calls := policy.Mesh()
	calls.Breaker.Off = true
	client := rpc.NewClient(conn, rpc.WithPolicies(policy.Fixed(conn, calls)))
	for range 20 { // more than there are goroutines
		for _, name := range []string{"panic", "out of range"} {
			_, err := rpc.Call(t.Context(), client, greet, greetReq{Name: name})
			if !errors.Is(err, contract.ErrInternal) || strings.Contains(err.Error(), "secret") {
				t.Fatalf("%s: got %v, want internal and no details", name, err)
			}
		}
		_, err := rpc.Call(t.Context(), client, greet, greetReq{Name: "goexit"}, rpc.WithTimeout(20*time.Millisecond))
		if !errors.Is(err, contract.ErrDeadline) {
			t.Fatalf("goexit: got %v, want deadline", err)
		}
	}
	if _, err := rpc.Call(t.Context(), client, greet, greetReq{Name: "Ada"}); err != nil {
		t.Errorf("the server must still serve: %v", err)
	}
	if text := log.String(); !strings.Contains(text, "secret") || !strings.Contains(text, "load_test.go") || strings.Contains(text, "\x1b") {
		t.Errorf("the log needs the panic and its stack, escaped: %.2000s", text)
	}
}

// lines is a writer for concurrent loggers.
type lines struct {
	mu  sync.Mutex
	buf strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func TestWorkPastItsTimeDoesNotStart(t *testing.T) {
	t.Parallel()
	const left = 20 * time.Millisecond
	conn, g := bustest.New(t), newGate()
	start(t, conn, func(ctx context.Context, req greetReq) (greetResp, error) {
		if req.Name == "late" {
			t.Error("a request ran whose time was over")
		}
		return g.handle(ctx, req)
	}, rpc.WithConcurrency(1))
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := rpc.Call(t.Context(), rpc.NewClient(conn), greet, greetReq{}, rpc.WithTimeout(patience)); err != nil {
			t.Error(err)
		}
	})
	bustest.Eventually(t, patience, func() bool { return g.waiting.Load() == 1 }, "the only slot taken")

	inbox := conn.NATS().NewInbox()
	sub, err := conn.NATS().SubscribeSync(inbox)
	if err != nil {
		t.Fatal(err)
	}
	late := &nats.Msg{
		Subject: greet.Subject(), Reply: inbox, Data: []byte(`{"name":"late"}`),
		Header: nats.Header{contract.HeaderTimeout: {strconv.FormatInt(left.Milliseconds(), 10)}},
	}
	if err := conn.NATS().PublishMsg(late); err != nil {
		t.Fatal(err)
	}
	bustest.Eventually(t, patience, func() bool { return outstanding(t, conn) == 2 }, "it has arrived")
	arrived := time.Now()
	bustest.Eventually(t, patience, func() bool { return time.Since(arrived) > 5*left }, "its time is over")
	close(g.open)
	wg.Wait()
	answer, err := sub.NextMsg(patience)
	if err != nil {
		t.Fatal(err)
	}
	wireError(t, answer, contract.Deadline)
}

// outstanding reads the gauge that /metrics shows.
func outstanding(t *testing.T, conn *bus.Conn) float64 {
	t.Helper()
	families, err := conn.Telemetry().Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "mesh_rpc_server_outstanding" {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatal("no gauge")
	return 0
}

func TestHandlersEndWithTheCallersTime(t *testing.T) {
	t.Parallel()
	conn, g := bustest.New(t), newGate()
	start(t, conn, g.handle)
	m := ask(t, conn.NATS(), greet.Subject(), "{}", nats.Header{contract.HeaderTimeout: {"20"}})
	wireError(t, m, contract.Deadline)
}

// What is acknowledged before, during and after the drain must be what was done,
// and what was done must have been acknowledged.
func TestDrainUnderLoadLosesNothing(t *testing.T) {
	t.Parallel()
	broker := bustest.Server(t)
	serverConn, clientConn := broker.Dial(t), broker.Dial(t)
	var done sync.Map
	_, stop := start(t, serverConn, func(_ context.Context, req greetReq) (greetResp, error) {
		done.Store(req.Name, true)
		return greetResp{Text: req.Name}, nil
	}, rpc.WithConcurrency(4))
	client := rpc.NewClient(clientConn, rpc.WithRetry(1, 0, 0))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var acked, lost atomic.Int64
	var wg sync.WaitGroup
	for c := range 16 {
		wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				name := fmt.Sprintf("%d-%d", c, i)
				_, err := rpc.Call(context.Background(), client, greet, greetReq{Name: name}, rpc.WithTimeout(patience))
				_, ran := done.Load(name)
				switch {
				case err == nil && ran:
					acked.Add(1)
				case errors.Is(err, rpc.ErrNoResponders) && !ran:
					return // the server has left the queue group
				default:
					lost.Add(1)
					t.Errorf("request %s: %v, done: %v", name, err, ran)
				}
			}
		})
	}
	bustest.Eventually(t, patience, func() bool { return acked.Load() > 200 }, "load")
	if err := stop(); err != nil {
		t.Error(err)
	}
	cancel()
	wg.Wait()
	if lost.Load() != 0 || acked.Load() == 0 {
		t.Errorf("%d acknowledged, %d lost", acked.Load(), lost.Load())
	}
}

func TestDrainWaitsForRunningRequestsAndThenEndsThem(t *testing.T) {
	t.Parallel()
	broker := bustest.Server(t)
	conn, g := broker.Dial(t), newGate()
	_, stop := start(t, conn, g.handle, rpc.WithDrainTimeout(100*time.Millisecond))
	client := rpc.NewClient(broker.Dial(t), rpc.WithRetry(1, 0, 0))
	answered := make(chan error, 1)
	go func() {
		_, err := rpc.Call(context.Background(), client, greet, greetReq{}, rpc.WithTimeout(patience))
		answered <- err
	}()
	bustest.Eventually(t, patience, func() bool { return g.waiting.Load() == 1 }, "the request runs")
	if err := stop(); err != nil { // the gate stays shut: only the end of its context ends it
		t.Error(err)
	}
	if err := <-answered; !errors.Is(err, contract.ErrUnavailable) {
		t.Errorf("got %v, want unavailable: another instance may do it", err)
	}
}
