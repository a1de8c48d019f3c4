package rpc_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/policy"
	"github.com/ordermesh/ordermesh/bus/rpc"
)

// TestBreakerSparesTheServer: a destination that fails is left alone, and asked again
// after the breaker's time.
func TestBreakerSparesTheServer(t *testing.T) {
	t.Parallel()
	conn := bustest.New(t)
	var arrived atomic.Int64
	var healthy atomic.Bool
	start(t, conn, func(ctx context.Context, req greetReq) (greetResp, error) {
		if arrived.Add(1); !healthy.Load() {
			return greetResp{}, contract.ErrUnavailable
		}
		return hello(ctx, req)
	})
	calls := policy.Mesh()
	calls.Retry.Off = true
	calls.Breaker = policy.Breaker{Failures: 3, Successes: 1, Open: policy.Duration(time.Hour)}
	set := policy.Fixed(conn, calls)
	client := rpc.NewClient(conn, rpc.WithPolicies(set))
	for range 50 {
		if _, err := rpc.Call(t.Context(), client, greet, greetReq{}); contract.AsError(err).Code != contract.Unavailable {
			t.Fatalf("got %v, want unavailable", err)
		}
	}
	_, err := rpc.Call(t.Context(), client, greet, greetReq{})
	if e := contract.AsError(err); !errors.Is(err, policy.ErrOpen) || e.RetryAfter < 59*time.Minute || arrived.Load() != 3 {
		t.Errorf("%d requests arrived: %v, retry after %v", arrived.Load(), err, e.RetryAfter)
	}
	healthy.Store(true)
	calls.Breaker.Open = policy.Duration(10 * time.Millisecond)
	if err := set.Executor("hello").Apply(calls, 1); err != nil {
		t.Fatal(err)
	}
	bustest.Eventually(t, patience, func() bool {
		_, err := rpc.Call(t.Context(), client, greet, greetReq{})
		return err == nil
	}, "the breaker to close")
}

// TestNobodyThereIsAFailure, and a service that refuses is none.
func TestNobodyThereIsAFailure(t *testing.T) {
	t.Parallel()
	conn := bustest.New(t)
	calls := policy.Mesh()
	calls.Retry.Off = true
	set := policy.Fixed(conn, calls)
	client := rpc.NewClient(conn, rpc.WithPolicies(set))
	for range 3 {
		if _, err := rpc.Call(t.Context(), client, greet, greetReq{}); !errors.Is(err, rpc.ErrNoResponders) {
			t.Fatal(err)
		}
	}
	if n := set.Executor("hello").Status().Counts.Failures; n != 3 {
		t.Errorf("%d failures", n)
	}
	serveWrite(t, conn, func(context.Context, greetReq) (greetResp, error) { return greetResp{}, errTaken })
	for range 10 {
		if _, err := rpc.Call(t.Context(), client, write, greetReq{}); !errors.Is(err, errTaken) {
			t.Fatal(err)
		}
	}
	if s := set.Executor("hello").Status(); s.Counts.Failures != 3 || s.Breaker != policy.Closed {
		t.Errorf("%+v", s)
	}
}

// TestSlowReadsAreHedged: the second request is answered while the first one hangs, and a
// command is sent once.
func TestSlowReadsAreHedged(t *testing.T) {
	t.Parallel()
	look := contract.NewMethod[greetReq, greetResp]("hello", "look", contract.Read())
	conn := bustest.New(t)
	s, err := rpc.NewServer(conn, service(look.Info(), write.Info()))
	if err != nil {
		t.Fatal(err)
	}
	var looked, written atomic.Int64
	hang := make(chan struct{})
	rpc.Handle(s, look, func(ctx context.Context, req greetReq) (greetResp, error) {
		if looked.Add(1) == 1 {
			<-hang
		}
		return hello(ctx, req)
	})
	rpc.Handle(s, write, func(ctx context.Context, req greetReq) (greetResp, error) {
		written.Add(1)
		select {
		case <-time.After(30 * time.Millisecond):
		case <-ctx.Done():
		}
		return hello(ctx, req)
	})
	run(t, s)
	defer close(hang)
	calls := policy.Mesh()
	calls.Hedge = policy.Hedge{After: policy.Duration(5 * time.Millisecond), Extra: 1}
	client := rpc.NewClient(conn, rpc.WithPolicies(policy.Fixed(conn, calls)))
	if _, err := rpc.Call(t.Context(), client, look, greetReq{Name: "Ada"}, rpc.WithTimeout(patience)); err != nil || looked.Load() != 2 {
		t.Errorf("%d requests: %v", looked.Load(), err)
	}
	if _, err := rpc.Call(t.Context(), client, write, greetReq{Name: "Ada"}, rpc.WithCommandID("once"), rpc.WithTimeout(patience)); err != nil || written.Load() != 1 {
		t.Errorf("%d commands: %v", written.Load(), err)
	}
}

// TestAttemptsHaveTheirOwnTime: an instance that hangs costs an attempt, not the call.
func TestAttemptsHaveTheirOwnTime(t *testing.T) {
	t.Parallel()
	conn := bustest.New(t)
	var arrived atomic.Int64
	hang := make(chan struct{})
	start(t, conn, func(ctx context.Context, req greetReq) (greetResp, error) {
		if arrived.Add(1) == 1 {
			<-hang
		}
		return hello(ctx, req)
	})
	defer close(hang)
	calls := policy.Mesh()
	calls.Timeout = policy.Duration(20 * time.Millisecond)
	client := rpc.NewClient(conn, rpc.WithPolicies(policy.Fixed(conn, calls)))
	if _, err := rpc.Call(t.Context(), client, greet, greetReq{Name: "Ada"}, rpc.WithTimeout(patience)); err != nil || arrived.Load() < 2 {
		t.Errorf("%d requests: %v", arrived.Load(), err)
	}
}
