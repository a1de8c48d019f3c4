package rpc_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/rpc"
	"github.com/ordermesh/ordermesh/bus/telemetry"
)

type greetReq struct {
	Name  string   `json:"name"`
	Times int      `json:"times,omitzero"`
	Tags  []string `json:"tags,omitzero"`
}

func (r greetReq) Validate() error {
	if r.Times < 0 {
		return contract.ErrInvalid.At("/times").Sayf("times must not be negative")
	}
	return nil
}

type greetResp struct {
	Text string `json:"text"`
}

var (
	greet = contract.NewMethod[greetReq, greetResp]("hello", "greet", contract.Idempotent(), contract.Doc("Greets somebody."))
	write = contract.NewMethod[greetReq, greetResp]("hello", "write")
	// errTaken stands for a refusal that a service declares in its contract.
	errTaken = contract.NewError(contract.Conflict, "name_taken", "the name is taken")
)

func service(methods ...contract.MethodInfo) contract.Service {
	return contract.Service{Name: "hello", Version: "1.2.3", Doc: "Says hello.", Serves: methods}
}

type handler = func(ctx context.Context, req greetReq) (greetResp, error)

// start serves greet with h until the test ends and returns the server.
func start(t *testing.T, conn *bus.Conn, h handler, opts ...rpc.ServerOption) (s *rpc.Server, stop func() error) {
	t.Helper()
	s, err := rpc.NewServer(conn, service(greet.Info()), opts...)
	if err != nil {
		t.Fatal(err)
	}
	rpc.Handle(s, greet, h)
	return s, run(t, s)
}

// run runs s and waits until it is ready. stop ends it and returns Run's error; it
// may be called twice.
func run(t *testing.T, s *rpc.Server) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stop = sync.OnceValue(func() error {
		cancel()
		return <-done
	})
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	select {
	case <-s.Ready():
	case err := <-done:
		t.Fatalf("Run ended early: %v", err)
	}
	return stop
}

func hello(_ context.Context, req greetReq) (greetResp, error) {
	return greetResp{Text: "hello " + req.Name}, nil
}

func TestCall(t *testing.T) {
	t.Parallel()
	conn := bustest.New(t)
	start(t, conn, hello)
	got, err := rpc.Call(t.Context(), rpc.NewClient(conn), greet, greetReq{Name: "Ada"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(greetResp{Text: "hello Ada"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestHandlerSeesDeadlineActorAndCommand(t *testing.T) {
	t.Parallel()
	conn := bustest.New(t)
	actor := contract.Actor{Who: "gateway", For: "c1", Request: "r1"}
	start(t, conn, func(ctx context.Context, _ greetReq) (greetResp, error) {
		if diff := cmp.Diff(actor, telemetry.ActorFrom(ctx), cmpopts.EquateEmpty()); diff != "" {
			t.Error(diff)
		}
		if got := telemetry.CommandFrom(ctx); got != "cmd 1" {
			t.Errorf("command %q", got)
		}
		if d, ok := ctx.Deadline(); !ok || time.Until(d) > 700*time.Millisecond {
			t.Errorf("deadline %v, %v: the caller gave 700ms", d, ok)
		}
		return greetResp{}, ctx.Err()
	})
	ctx := telemetry.WithActor(t.Context(), actor)
	_, err := rpc.Call(ctx, rpc.NewClient(conn), greet, greetReq{}, rpc.WithCommandID("cmd 1"), rpc.WithTimeout(700*time.Millisecond))
	if err != nil {
		t.Error(err)
	}
}

func TestErrorsCross(t *testing.T) {
	t.Parallel()
	conn := bustest.New(t)
	for name, tc := range map[string]struct{ give, want error }{
		"declared":    {errTaken, errTaken},
		"wrapped":     {errors.Join(errors.New("while greeting"), errTaken), errTaken},
		"with field":  {errTaken.At("/name"), errTaken},
		"unexpected":  {errors.New("secret: disk on fire"), contract.ErrInternal},
		"deadline":    {context.DeadlineExceeded, contract.ErrDeadline},
		"unavailable": {contract.ErrUnavailable, contract.ErrUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := contract.NewMethod[greetReq, greetResp](strings.ReplaceAll(name, " ", "_"), "m")
			s, err := rpc.NewServer(conn, contract.Service{Name: m.Info().Service, Serves: []contract.MethodInfo{m.Info()}})
			if err != nil {
				t.Fatal(err)
			}
			rpc.Handle(s, m, func(context.Context, greetReq) (greetResp, error) { return greetResp{}, tc.give })
			run(t, s)
			_, err = rpc.Call(t.Context(), rpc.NewClient(conn), m, greetReq{})
			if !errors.Is(err, tc.want) {
				t.Errorf("got %v, want %v", err, tc.want)
			}
		})
	}
}
