package rpc_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/rpc"
	"github.com/ordermesh/ordermesh/bus/telemetry"
)

// serveWrite serves the method that is not idempotent.
func serveWrite(t *testing.T, conn *bus.Conn, h handler) {
	t.Helper()
	s, err := rpc.NewServer(conn, service(write.Info()))
	if err != nil {
		t.Fatal(err)
	}
	rpc.Handle(s, write, h)
	run(t, s)
}

// failing is a handler that fails a number of times before it works.
func failing(times int64, err error) (h handler, calls *atomic.Int64) {
	calls = new(atomic.Int64)
	return func(ctx context.Context, req greetReq) (greetResp, error) {
		if calls.Add(1) <= times {
			return greetResp{}, err
		}
		return hello(ctx, req)
	}, calls
}

func TestOnlyRepeatableCallsAreRepeated(t *testing.T) {
	t.Parallel()
	exhausted := contract.ErrExhausted.After(time.Millisecond)
	for name, tc := range map[string]struct {
		give    error
		method  contract.Method[greetReq, greetResp]
		opts    []rpc.CallOption
		repeats bool
	}{
		"idempotent, unavailable":        {contract.ErrUnavailable, greet, nil, true},
		"idempotent, exhausted":          {exhausted, greet, nil, true},
		"exhausted without a time":       {contract.ErrExhausted, greet, nil, false},
		"idempotent, refused":            {errTaken, greet, nil, false},
		"idempotent, internal":           {errors.New("x"), greet, nil, false},
		"idempotent, deadline":           {contract.ErrDeadline, greet, nil, false},
		"not idempotent":                 {contract.ErrUnavailable, write, nil, false},
		"not idempotent, with a command": {contract.ErrUnavailable, write, []rpc.CallOption{rpc.WithCommandID("c1")}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := bustest.New(t)
			h, calls := failing(2, tc.give)
			if tc.method.Subject() == write.Subject() {
				serveWrite(t, conn, h)
			} else {
				start(t, conn, h)
			}
			client := rpc.NewClient(conn, rpc.WithRetry(5, time.Millisecond, 10*time.Millisecond))
			_, err := rpc.Call(t.Context(), client, tc.method, greetReq{}, tc.opts...)
			if tc.repeats && (err != nil || calls.Load() != 3) {
				t.Errorf("%d calls, %v; want three and success", calls.Load(), err)
			}
			if !tc.repeats && (err == nil || calls.Load() != 1) {
				t.Errorf("%d calls, %v; want one and an error", calls.Load(), err)
			}
		})
	}
}

func TestCallWaitsForAServiceThatStartsLater(t *testing.T) {
	t.Parallel()
	conn := bustest.New(t)
	client := rpc.NewClient(conn, rpc.WithRetry(1000, time.Millisecond, 5*time.Millisecond))
	if _, err := rpc.Call(t.Context(), client, write, greetReq{}); !errors.Is(err, rpc.ErrNoResponders) {
		t.Errorf("a call that may not be repeated: got %v", err)
	}
	result := make(chan error, 1)
	go func() {
		_, err := rpc.Call(context.Background(), client, greet, greetReq{}, rpc.WithTimeout(patience))
		result <- err
	}()
	start(t, conn, hello)
	if err := <-result; err != nil {
		t.Error(err)
	}
}

func TestCallEndsAtTheEarlierOfDeadlineAndTimeout(t *testing.T) {
	t.Parallel()
	conn, g := bustest.New(t), newGate()
	start(t, conn, func(_ context.Context, req greetReq) (greetResp, error) {
		return g.handle(context.Background(), req) // deaf to its caller's time
	})
	t.Cleanup(func() { close(g.open) })
	client := rpc.NewClient(conn)
	for name, call := range map[string]func() error{
		"deadline": func() error {
			short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
			defer cancel()
			_, err := rpc.Call(short, client, greet, greetReq{}, rpc.WithTimeout(patience))
			return err
		},
		"time-out": func() error {
			_, err := rpc.Call(t.Context(), client, greet, greetReq{}, rpc.WithTimeout(20*time.Millisecond))
			return err
		},
		"no responders": func() error {
			_, err := rpc.Call(t.Context(), client, contract.NewMethod[greetReq, greetResp]("nobody", "home", contract.Idempotent()),
				greetReq{}, rpc.WithTimeout(20*time.Millisecond))
			if errors.Is(err, rpc.ErrNoResponders) { // the reason is better than "no time left"
				return contract.ErrDeadline
			}
			return err
		},
	} {
		if err := call(); !errors.Is(err, contract.ErrDeadline) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	ctx, leave := context.WithCancelCause(t.Context())
	boom := errors.New("the user went away")
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := rpc.Call(ctx, client, greet, greetReq{}, rpc.WithTimeout(patience)); !errors.Is(err, boom) {
			t.Errorf("cancelled: got %v", err)
		}
	})
	bustest.Eventually(t, patience, func() bool { return g.waiting.Load() == 3 }, "the third call runs")
	leave(boom)
	wg.Wait()
}

func TestClientRefusesWhatTheServerWould(t *testing.T) {
	t.Parallel()
	client := rpc.NewClient(bustest.New(t)) // nobody serves: no request may be sent
	for _, id := range []string{"", "a\r\nX: y", strings.Repeat("k", 256), "käse", " a"} {
		if _, err := rpc.Call(t.Context(), client, greet, greetReq{}, rpc.WithCommandID(id)); contract.AsError(err).Code != contract.Invalid {
			t.Errorf("command id %q: got %v", id, err)
		}
	}
	big := greetReq{Name: strings.Repeat("a", contract.MaxRequestBytes)}
	if _, err := rpc.Call(t.Context(), client, greet, big); contract.AsError(err).Code != contract.Invalid {
		t.Errorf("oversize: got %v", err)
	}
	if _, err := rpc.Call(t.Context(), client, greet, greetReq{Name: "\xff"}); contract.AsError(err).Code != contract.Invalid {
		t.Errorf("bad UTF-8: got %v", err)
	}
}

// Other services of the NATS world answer errors with micro's headers alone, or
// with nonsense.
func TestForeignReplies(t *testing.T) {
	t.Parallel()
	conn := bustest.New(t)
	client := rpc.NewClient(conn)
	for name, tc := range map[string]struct {
		header nats.Header
		body   string
		want   contract.Code
	}{
		"micro error":  {nats.Header{contract.HeaderErrorCode: {"404"}, contract.HeaderError: {"no such thing"}}, "", contract.NotFound},
		"unknown code": {nats.Header{contract.HeaderErrorCode: {"418"}, contract.HeaderError: {"teapot"}}, "x", contract.Internal},
		"no number":    {nats.Header{contract.HeaderErrorCode: {"x"}}, "", contract.Internal},
		"not JSON":     {nil, "hello", contract.Internal},
		"empty":        {nil, "", contract.Internal},
		"array":        {nil, "[]", contract.Internal},
	} {
		m := contract.NewMethod[greetReq, greetResp]("foreign", strings.ReplaceAll(name, " ", "_"))
		_, err := conn.NATS().Subscribe(m.Subject(), func(msg *nats.Msg) {
			for range 2 { // a second reply must hurt nobody
				if err := msg.RespondMsg(&nats.Msg{Header: tc.header, Data: []byte(tc.body)}); err != nil {
					t.Error(err)
				}
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := rpc.Call(t.Context(), client, m, greetReq{}); err == nil || contract.AsError(err).Code != tc.want {
			t.Errorf("%s: got %v, want %v", name, err, tc.want)
		}
	}
}

// Fields that a newer server adds are no error.
func TestNewerRepliesAreRead(t *testing.T) {
	t.Parallel()
	conn := bustest.New(t)
	if _, err := conn.NATS().Subscribe(greet.Subject(), func(m *nats.Msg) {
		if err := m.Respond([]byte(`{"text":"x","since_2027":true}`)); err != nil {
			t.Error(err)
		}
	}); err != nil {
		t.Fatal(err)
	}
	got, err := rpc.Call(t.Context(), rpc.NewClient(conn), greet, greetReq{})
	if err != nil || got.Text != "x" {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestNothingIsSentWhileDisconnected(t *testing.T) {
	t.Parallel()
	broker := bustest.Server(t)
	conn := broker.Dial(t)
	start(t, conn, hello)
	client := rpc.NewClient(broker.Dial(t), rpc.WithRetry(1, 0, 0))
	if _, err := rpc.Call(t.Context(), client, greet, greetReq{}); err != nil {
		t.Fatal(err)
	}
	broker.Stop(t, "")
	bustest.Eventually(t, patience, func() bool {
		_, err := rpc.Call(t.Context(), client, greet, greetReq{}, rpc.WithTimeout(100*time.Millisecond))
		return errors.Is(err, rpc.ErrDisconnected)
	}, "the client notices")
	// What is sent into a connection of which nobody knows yet that it is lost is lost.
	bustest.Eventually(t, patience, func() bool { return !conn.NATS().IsConnected() }, "the other connection to notice")
	broker.Start(t)
	patient := rpc.NewClient(conn, rpc.WithRetry(1000, time.Millisecond, 50*time.Millisecond))
	if _, err := rpc.Call(t.Context(), patient, greet, greetReq{}, rpc.WithTimeout(patience)); err != nil {
		t.Errorf("after the outage: %v", err)
	}
}

func TestTracesCross(t *testing.T) {
	t.Parallel()
	recorder := tracetest.NewSpanRecorder()
	tel, err := telemetry.New(telemetry.Config{Service: "hello", Writer: &lines{}, Processor: recorder})
	if err != nil {
		t.Fatal(err)
	}
	broker := bustest.Server(t)
	conn, plain := broker.Dial(t, bustest.WithTelemetry(tel)), broker.Dial(t)
	var inHandler trace.SpanContext
	start(t, conn, func(ctx context.Context, req greetReq) (greetResp, error) {
		inHandler = trace.SpanContextFromContext(ctx)
		return hello(ctx, req)
	})
	ctx, root := tel.Start(t.Context(), "root", trace.SpanKindInternal)
	id := root.SpanContext().TraceID()
	for name, c := range map[string]*bus.Conn{"traced client": conn, "client without a tracer": plain} {
		if _, err := rpc.Call(ctx, rpc.NewClient(c), greet, greetReq{}); err != nil {
			t.Fatal(err)
		}
		if inHandler.TraceID() != id {
			t.Errorf("%s: the handler is in trace %s, want %s", name, inHandler.TraceID(), id)
		}
	}
	kinds := map[trace.SpanKind]int{}
	bustest.Eventually(t, patience, func() bool { return len(recorder.Ended()) == 3 }, "three spans")
	for _, s := range recorder.Ended() {
		kinds[s.SpanKind()]++
	}
	if kinds[trace.SpanKindServer] != 2 || kinds[trace.SpanKindClient] != 1 {
		t.Errorf("spans: %v", kinds)
	}
}

// TestRawCallsPassThrough: JSON goes and comes as it is, refusals and repeats are those of
// any call.
func TestRawCallsPassThrough(t *testing.T) {
	t.Parallel()
	conn := bustest.New(t)
	h, calls := failing(1, contract.ErrUnavailable)
	serveWrite(t, conn, h)
	client := rpc.NewClient(conn)
	reply, err := rpc.CallRaw(t.Context(), client, write.Info(), []byte(`{"name":"Ada"}`), rpc.WithCommandID("c1"))
	if err != nil || !strings.Contains(string(reply), "Ada") || calls.Load() != 2 {
		t.Errorf("%s after %d calls: %v", reply, calls.Load(), err)
	}
	if _, err := rpc.CallRaw(t.Context(), client, write.Info(), []byte(`{"odd":1}`)); contract.AsError(err).Code != contract.Invalid {
		t.Errorf("an unknown member: %v, want invalid", err)
	}
}
