package spare_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ordermesh/ordermesh/bus/internal/spare"
)

func TestContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for left, want := range map[time.Duration]time.Duration{
			10 * time.Second:       9500 * time.Millisecond,
			200 * time.Millisecond: 150 * time.Millisecond,
			20 * time.Millisecond:  10 * time.Millisecond,
		} {
			ctx, cancel := context.WithTimeout(t.Context(), left)
			early, cancelEarly := spare.Context(ctx)
			begin := time.Now()
			<-early.Done()
			if took := time.Since(begin); took != want || ctx.Err() != nil {
				t.Errorf("with %v left it ended after %v, its parent: %v", left, took, ctx.Err())
			}
			cancelEarly()
			cancel()
		}
		over, cancel := context.WithCancel(t.Context())
		cancel()
		for name, parent := range map[string]context.Context{"over": over, "without a deadline": t.Context()} {
			c, cancel := spare.Context(parent)
			if over := c.Err() != nil; over != (parent.Err() != nil) {
				t.Errorf("%s: %v", name, c.Err())
			}
			if cancel(); c.Err() == nil {
				t.Errorf("%s: it cannot be cancelled", name)
			}
		}
	})
}
