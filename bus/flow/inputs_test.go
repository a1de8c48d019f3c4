package flow_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/flow"
)

// Whoever steers a flow that is not there, or has ended, is told so.
func TestFlowsThatCannotBeSteered(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	def := flow.Define("brief", 1, func(_ *flow.Run, in args) (result, error) { return result(in), nil })
	w.work(def)
	if _, err := flow.Do(within(t), w.client, def, "ended", args{}); err != nil {
		t.Fatal(err)
	}
	steer := map[string]func(id string) error{
		"signal": func(id string) error { return w.client.Signal(within(t), "brief", id, "s", "1", nil) },
		"cancel": func(id string) error { return w.client.Cancel(within(t), "brief", id, "why not") },
		"retry":  func(id string) error { return w.client.Retry(within(t), "brief", id) },
	}
	for verb, f := range steer {
		if err := f("unknown"); !errors.Is(err, flow.ErrNotFound) {
			t.Errorf("%s of an unknown flow: %v", verb, err)
		}
		if err := f("ended"); !errors.Is(err, flow.ErrEnded) {
			t.Errorf("%s of an ended flow: %v", verb, err)
		}
		if err := f("a.b"); !isInvalid(err) {
			t.Errorf("%s of a flow with a bad id: %v", verb, err)
		}
	}
	if _, err := w.client.Get(within(t), "brief", "unknown"); !errors.Is(err, flow.ErrNotFound) {
		t.Errorf("get: %v", err)
	}
	if _, err := flow.Result[result](within(t), w.client, "brief", "unknown"); !errors.Is(err, flow.ErrNotFound) {
		t.Errorf("result: %v", err)
	}
	if _, err := flow.Start(within(t), w.client, def, "ended", args{"other"}); !errors.Is(err, flow.ErrOtherInput) {
		t.Errorf("another input: %v", err)
	}
}

func isInvalid(err error) bool {
	var e *contract.Error
	return errors.As(err, &e) && e.Code == contract.Invalid && e.Field != ""
}

func TestSignalsThatCannotBe(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, s := range map[string]struct {
		signal, id string
		body       any
	}{
		"no name": {"", "1", nil}, "wildcard": {"*", "1", nil}, "no id": {"s", "", nil}, "long id": {"s", strings.Repeat("x", 65), nil},
		"no JSON": {"s", "1", make(chan int)},
	} {
		if err := w.client.Signal(within(t), "any", "a", s.signal, s.id, s.body); !isInvalid(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// More signals than a flow keeps are brought again until it has taken all.
func TestAFloodOfSignalsLosesNone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const n = 300
	begin := make(chan struct{})
	def := flow.Define("flood", 1, func(run *flow.Run, _ args) (int, error) {
		if _, err := flow.Step(run, "begin", func(ctx context.Context) (int, error) {
			select {
			case <-begin:
			case <-ctx.Done():
			}
			return 1, ctx.Err()
		}); err != nil {
			return 0, err
		}
		sum := 0
		for range n {
			v, err := flow.Await[int](run, "drop", 0)
			if err != nil {
				return 0, err
			}
			sum += v
		}
		return sum, nil
	})
	w.work(def)
	h, err := flow.Start(within(t), w.client, def, "a", args{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if err := w.client.Signal(within(t), "flood", "a", "drop", fmt.Sprint(i), i); err != nil {
			t.Fatal(err)
		}
	}
	close(begin)
	if sum, err := h.Result(within(t)); err != nil || sum != n*(n-1)/2 {
		t.Errorf("sum %d, %v", sum, err)
	}
}

// A signal that comes while a flow is stuck waits until somebody has mended it.
func TestAStuckFlowLosesNoSignal(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var mended atomic.Bool
	def := flow.Define("broken", 1, func(run *flow.Run, _ args) (result, error) {
		if _, err := flow.Step(run, "once", func(context.Context) (int, error) {
			if !mended.Load() {
				return 0, errors.New("broken")
			}
			return 1, nil
		}, flow.WithAtMostOnce()); err != nil {
			return result{}, err
		}
		text, err := flow.Await[string](run, "word", 0)
		return result{Text: text}, err
	})
	w.work(def)
	if _, err := flow.Do(within(t), w.client, def, "a", args{}); !errors.Is(err, flow.ErrStuck) {
		t.Fatal(err)
	}
	if err := w.client.Signal(within(t), "broken", "a", "word", "1", "kept"); err != nil {
		t.Fatal(err)
	}
	mended.Store(true)
	if err := w.client.Retry(within(t), "broken", "a"); err != nil {
		t.Fatal(err)
	}
	if s := w.state("broken", "a", flow.Completed); !strings.Contains(string(s.Result), "kept") {
		t.Errorf("result %s", s.Result)
	}
}
