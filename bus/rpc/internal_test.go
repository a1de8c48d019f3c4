package rpc

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/policy"
	"github.com/ordermesh/ordermesh/bus/telemetry"
)

// bank is a policy with quick repeats.
func bank(t *testing.T, attempts int) *policy.Executor {
	t.Helper()
	calls := policy.Mesh()
	calls.Retry.Attempts, calls.Breaker.Off = attempts, true
	e, err := policy.NewExecutor(telemetry.Nop(), "shop", "bank", calls)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestRetryKeepsWithinTheDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var at []time.Duration
		send := retry(bank(t, 100), func(context.Context, *request) (*nats.Msg, error) {
			at = append(at, time.Since(began))
			return nil, contract.ErrUnavailable
		})
		r := &request{target: &target{}, call: policy.Call{Repeatable: true, Start: began, Deadline: began.Add(5 * time.Second)}}
		_, err := send(t.Context(), r)
		if !errors.Is(err, contract.ErrUnavailable) {
			t.Errorf("got %v, want the last attempt's error", err)
		}
		if took := time.Since(began); took > 5*time.Second || took < 3*time.Second {
			t.Errorf("gave up after %v of 5s", took)
		}
		if len(at) < 8 || len(at) > 20 || r.attempt != len(at) {
			t.Errorf("%d attempts at %v", len(at), at)
		}
		for i := 1; i < len(at); i++ {
			if pause := at[i] - at[i-1]; pause > time.Second || pause < 10*time.Millisecond {
				t.Errorf("pause %d is %v", i, pause)
			}
		}
	})
}

func TestRetryObeysTheServersWish(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began, calls := time.Now(), 0
		send := retry(bank(t, 3), func(context.Context, *request) (*nats.Msg, error) {
			if calls++; calls == 1 {
				return nil, contract.ErrExhausted.After(700 * time.Millisecond)
			}
			return &nats.Msg{}, nil
		})
		r := &request{target: &target{}, call: policy.Call{Repeatable: true, Start: began, Deadline: began.Add(5 * time.Second)}}
		if _, err := send(t.Context(), r); err != nil || time.Since(began) < 700*time.Millisecond {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}

func TestCallContextIsAContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		parent, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, "v"))
		defer cancel()
		fresh := func() *callContext {
			return &callContext{Context: parent, deadline: time.Now().Add(time.Second)}
		}
		c := fresh()
		if d, ok := c.Deadline(); !ok || time.Until(d) != time.Second || c.Err() != nil || c.Value(key{}) != "v" {
			t.Errorf("fresh: %v %v %v", d, ok, c.Err())
		}
		child, stop := context.WithCancel(c)
		defer stop()
		time.Sleep(time.Second + 1) //nolint:forbidigo // synctest's clock
		synctest.Wait()
		if !errors.Is(c.Err(), context.DeadlineExceeded) || !errors.Is(child.Err(), context.DeadlineExceeded) || c.Value(key{}) != "v" {
			t.Errorf("past the deadline: %v, child %v", c.Err(), child.Err())
		}
		unwatched := &callContext{Context: parent, deadline: time.Now()}
		if !errors.Is(unwatched.Err(), context.DeadlineExceeded) || !errors.Is(context.Cause(unwatched), context.DeadlineExceeded) {
			t.Errorf("nobody waited: %v", unwatched.Err())
		}
		done := fresh()
		done.finish()
		<-done.Done()
		if !errors.Is(done.Err(), context.Canceled) {
			t.Errorf("finished: %v", done.Err())
		}
		last := fresh()
		cancel()
		<-last.Done()
		if !errors.Is(last.Err(), context.Canceled) {
			t.Errorf("parent cancelled: %v", last.Err())
		}
		last.finish()
		c.finish()
	})
}

func TestHeaderTextIsOneLineOfASCII(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"plain": "plain", "a\r\nX-Evil: 1": `a\r\nX-Evil: 1`, `say "hi"`: `say "hi"`,
		"käse": `k\u00e4se`, "\u202e": `\u202e`,
	} {
		if got := headerText(in); got != want {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
	}
}
