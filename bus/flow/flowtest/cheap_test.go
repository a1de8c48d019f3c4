package flowtest_test

import (
	"context"
	"testing"
	"time"

	"github.com/ordermesh/ordermesh/bus/flow"
	"github.com/ordermesh/ordermesh/bus/flow/flowtest"
)

// errands runs five steps that take so long each, the middle ones cheap.
func errands(l *ledger, takes time.Duration) flow.Definition[order, order] {
	return flow.Define("errands", 1, func(run *flow.Run, in order) (order, error) {
		for _, s := range []struct {
			name string
			opts []flow.StepOption
		}{
			{"begin", nil},
			{"one", []flow.StepOption{flow.WithCheap()}},
			{"two", []flow.StepOption{flow.WithCheap()}},
			{"three", []flow.StepOption{flow.WithCheap()}},
			{"end", nil},
		} {
			sum, err := flow.Step(run, s.name, func(context.Context) (int, error) {
				time.Sleep(takes) //nolint:forbidigo // in virtual time
				l.effect(s.name, run.Key(s.name))
				return 1, nil
			}, s.opts...)
			if err != nil {
				return in, err
			}
			in.Total += sum
		}
		return in, nil
	})
}

// TestCheapStepsShareAMessage: the first step has one, then the next that is not cheap
// takes the cheap ones along, or the time does.
func TestCheapStepsShareAMessage(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		takes   time.Duration
		appends int // a crash before and after each is a run, and so is every pair of them
	}{
		"at once":                   {0, 2},
		"each takes a while":        {100 * time.Millisecond, 2},
		"each takes longer than it": {600 * time.Millisecond, 5},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var l *ledger
			runs := 0
			flowtest.CrashEverywhere(t, func() flow.Definition[order, order] {
				runs++
				l = &ledger{keys: map[string]int{}}
				return errands(l, c.takes)
			}, order{ID: "o1"}, func(t *testing.T, o flowtest.Outcome[order]) {
				t.Helper()
				if o.Out.Total != 5 || len(l.order) != 5 {
					t.Errorf("%+v after %v", o, l.order)
				}
			})
			if want := 1 + 2*c.appends + 4*c.appends*c.appends; runs != want {
				t.Errorf("%d runs, %d messages give %d", runs, c.appends, want)
			}
		})
	}
}
