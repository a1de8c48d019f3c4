package policy

import (
	"context"
	"sync"

	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/hedgepolicy"
)

// Race runs an attempt, and when its answer is slow the same attempt again beside it, if
// the policy says so and the call only reads. The first answer counts, the others end with
// their contexts; Race returns when all have. The attempts must not share what they write.
func Race[A, T any](ctx context.Context, e *Executor, c Call, arg A, attempt func(context.Context, A) (T, error)) (T, error) {
	p := e.current.Load()
	if p.hedge == nil || !c.Reads {
		return attempt(ctx, arg)
	}
	var legs legs
	defer legs.wait()
	v, err := failsafe.With(p.hedge).WithContext(ctx).GetWithExecution(func(x failsafe.Execution[any]) (any, error) {
		if !legs.begin() {
			return nil, context.Canceled
		}
		defer legs.end()
		if x.IsHedge() {
			e.count.hedges.Add(1)
			e.meters.hedges.Inc()
		}
		return attempt(x.Context(), arg)
	})
	result, _ := v.(T) // none with an error
	return result, err
}

// Hedges reports whether calls that only read may run twice at the same time.
func (e *Executor) Hedges() bool { return e.current.Load().hedge != nil }

func newHedge(h Hedge, was Hedge, old failsafe.Policy[any]) failsafe.Policy[any] {
	switch {
	case h.Off:
		return nil
	case old != nil && h == was:
		return old
	}
	return hedgepolicy.NewBuilderWithDelay[any](h.After.Std()).WithMaxHedges(h.Extra).Build()
}

// legs are the attempts of one hedged call. One that has not begun when the call is over
// does not begin.
type legs struct {
	mu      sync.Mutex
	over    bool
	running sync.WaitGroup
}

func (l *legs) begin() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		return false
	}
	l.running.Add(1)
	return true
}

func (l *legs) end() { l.running.Done() }

func (l *legs) wait() {
	l.mu.Lock()
	l.over = true
	l.mu.Unlock()
	l.running.Wait()
}
