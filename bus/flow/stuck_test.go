package flow_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/ordermesh/ordermesh/bus/flow"
)

// expectStuck runs the flow and expects it to be parked for a reason with these words.
func expectStuck(t *testing.T, w *world, def flow.Definition[args, result], id string, words ...string) flow.State {
	t.Helper()
	_, err := flow.Do(within(t), w.client, def, id, args{"x"})
	if !errors.Is(err, flow.ErrStuck) {
		t.Fatalf("got %v, want ErrStuck", err)
	}
	s := w.state(def.Name(), id, flow.Stuck)
	for _, word := range words {
		if !strings.Contains(s.Reason, word) {
			t.Errorf("the reason %q does not name %q", s.Reason, word)
		}
	}
	return s
}

func value[T any](v T) func(context.Context) (T, error) {
	return func(context.Context) (T, error) { return v, nil }
}

func TestStuckFlowsNameTheReason(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	fast := flow.WithRetry(flow.Retry{First: 1e6, Max: 1e6})
	define := func(name string, f func(run *flow.Run)) flow.Definition[args, result] {
		return flow.Define(name, 1, func(run *flow.Run, in args) (result, error) {
			f(run)
			return result(in), nil
		})
	}
	cases := []struct {
		def   flow.Definition[args, result]
		words []string
	}{
		{define("panics", func(run *flow.Run) {
			_, _ = flow.Step(run, "boom", func(context.Context) (int, error) { panic("broken") }, fast)
		}), []string{"boom", "panicked 5 times", "broken"}},
		{define("twice", func(run *flow.Run) {
			_, _ = flow.Step(run, "a", value(1))
			_, _ = flow.Step(run, "a", value(1))
		}), []string{`"a"`, "twice"}},
		{define("nested", func(run *flow.Run) {
			_, _ = flow.Step(run, "outer", func(context.Context) (int, error) {
				return flow.Step(run, "inner", value(1))
			})
		}), []string{"inner", "outer"}},
		{define("bad-name", func(run *flow.Run) { _, _ = flow.Step(run, "a.b", value(1)) }), []string{"a.b"}},
		{define("huge", func(run *flow.Run) {
			_, _ = flow.Step(run, "big", value(strings.Repeat("x", 17<<20)))
		}), []string{"big", "bytes", "16777216"}},
		{define("unwritable", func(run *flow.Run) { _, _ = flow.Step(run, "chan", value(make(chan int))) }), []string{"chan"}},
		{define("doubt", func(run *flow.Run) {
			_, _ = flow.Step(run, "once", func(context.Context) (int, error) { return 0, errors.New("cut off") }, flow.WithAtMostOnce())
		}), []string{"once", "must not be repeated", "cut off"}},
		{flow.Define("undo-refused", 1, func(run *flow.Run, in args) (result, error) {
			flow.Compensate(run, "undo", func(context.Context) error { return errTaken })
			return result{}, errTaken
		}), []string{"undo", "taken"}},
	}
	flows := make([]flow.Registered, 0, len(cases))
	for _, c := range cases {
		flows = append(flows, c.def)
	}
	w.work(flows...)
	for _, c := range cases {
		t.Run(c.def.Name(), func(t *testing.T) {
			t.Parallel()
			expectStuck(t, &world{t: t, broker: w.broker, client: w.client}, c.def, "a", c.words...)
		})
	}
}

func TestRetryMendsAStuckFlow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var mended atomic.Bool
	var effects book
	def := flow.Define("mend", 1, func(run *flow.Run, in args) (result, error) {
		if _, err := flow.Step(run, "before", func(context.Context) (int, error) { effects.note("before", ""); return 1, nil }); err != nil {
			return result{}, err
		}
		return flow.Step(run, "once", func(context.Context) (result, error) {
			if mended.Load() {
				return result(in), nil
			}
			return result{}, errors.New("cut off")
		}, flow.WithAtMostOnce())
	})
	w.work(def)
	expectStuck(t, w, def, "a")
	if err := w.client.Retry(within(t), "mend", "a"); err != nil {
		t.Fatal(err)
	}
	expectStuck(t, w, def, "a") // still broken
	mended.Store(true)
	if err := w.client.Retry(within(t), "mend", "a"); err != nil {
		t.Fatal(err)
	}
	w.state("mend", "a", flow.Completed)
	if out, err := flow.Do(within(t), w.client, def, "a", args{"x"}); err != nil || out.Text != "x" {
		t.Errorf("got %+v, %v", out, err)
	}
	if n := effects.count("before"); n != 1 {
		t.Errorf("the step before ran %d times", n)
	}
	if err := w.client.Retry(within(t), "mend", "a"); !errors.Is(err, flow.ErrEnded) {
		t.Errorf("retry of an ended flow: %v", err)
	}
}
