package policy_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ordermesh/ordermesh/bus/policy"
	"github.com/ordermesh/ordermesh/bus/telemetry"
)

func TestAnExecutorGuardsAStore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e, err := policy.NewExecutor(telemetry.Nop(), "shop", "redis", policy.Store())
		if err != nil {
			t.Fatal(err)
		}
		down, calls := errors.New("down"), 0
		for range 50 {
			if err := e.Do(t.Context(), func(context.Context) error { calls++; return down }); err == nil {
				t.Fatal("it went well")
			}
		}
		if want := policy.Store().Breaker.Failures; calls != want || e.IsClosed() {
			t.Errorf("%d calls of a store that is down, want %d; closed is %v", calls, want, e.IsClosed())
		}
		time.Sleep(2 * policy.Store().Breaker.Open.Std()) //nolint:forbidigo // the bubble's clock
		for range 10 {
			if err := e.Do(t.Context(), func(context.Context) error { return nil }); err != nil {
				t.Errorf("it is back: %v", err)
			}
		}
		if !e.IsClosed() {
			t.Error("the breaker is not closed")
		}
	})
}
