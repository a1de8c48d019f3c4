package flow_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/flow"
)

// A second worker continues where the first was cut off: finished steps are not
// repeated, the step under way runs again with the same key, the client gets its
// answer.
func TestAnotherWorkerContinues(t *testing.T) {
	t.Parallel()
	bustest.Each(t, func(t *testing.T, b *bustest.Broker) {
		w := worldOn(t, b)
		var effects book
		reached, first := make(chan struct{}, 9), true
		var mu sync.Mutex
		def := flow.Define("order", 1, func(run *flow.Run, in args) (result, error) {
			at := run.Now()
			for _, step := range []string{"one", "two", "three"} {
				_, err := flow.Step(run, step, func(ctx context.Context) (time.Time, error) {
					effects.note(step+at.Format(time.RFC3339Nano), run.Key(step))
					mu.Lock()
					hang := step == "two" && first
					mu.Unlock()
					if hang {
						reached <- struct{}{}
						<-ctx.Done()
						return at, ctx.Err()
					}
					return at, nil
				})
				if err != nil {
					return result{}, err
				}
			}
			return result{in.Text + at.Format(time.RFC3339Nano)}, nil
		})
		one := w.work(def)
		outs := make(chan result, 1)
		go func() {
			out, err := flow.Do(within(t), w.client, def, "a", args{"x"})
			if err != nil {
				t.Error(err)
			}
			outs <- out
		}()
		<-reached
		w.state("order", "a", flow.Running)
		mu.Lock()
		first = false
		mu.Unlock()
		one.crash()
		w.work(def)
		out := <-outs
		s := w.state("order", "a", flow.Completed)
		at := strings.TrimPrefix(out.Text, "x")
		want := fmt.Sprintf("[one%s two%s two%s three%s]", at, at, at, at)
		if got := fmt.Sprint(effects.names()); got != want {
			t.Errorf("calls %s, want %s", got, want)
		}
		if len(effects.effects) != 3 || len(s.Steps) != 4 {
			t.Errorf("effects %v, steps %+v", effects.effects, s.Steps)
		}
	}, bustest.WithStreams(streams()...))
}

// Changed code that does something else than the journal says is parked, and the
// reason names both sides.
func TestChangedCodeIsParked(t *testing.T) {
	t.Parallel()
	for name, changed := range map[string]struct {
		code  func(run *flow.Run) error
		words []string
	}{
		"another name": {func(run *flow.Run) error { _, err := flow.Step(run, "renamed", value(1)); return err },
			[]string{"index 0", `step "one"`, `step "renamed"`}},
		"another kind": {func(run *flow.Run) error { run.Now(); return nil }, []string{"index 0", `step "one"`, "now"}},
		"another input": {func(run *flow.Run) error {
			_, err := flow.Step(run, "one", value(1), flow.WithInput("other"))
			return err
		}, []string{"index 0", "with input"}},
		"another type": {func(run *flow.Run) error {
			_, err := flow.Step(run, "one", value([]int{1}), flow.WithInput("this"))
			return err
		}, []string{`"one"`, "cannot be read"}},
		"another open step": {func(run *flow.Run) error {
			if _, err := flow.Step(run, "one", value(1), flow.WithInput("this")); err != nil {
				return err
			}
			_, err := flow.Step(run, "elsewhere", value(1))
			return err
		}, []string{"index 1", `step "stands"`, `step "elsewhere"`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			def := func(code func(run *flow.Run) error) flow.Definition[args, result] {
				return flow.Define("changing", 1, func(run *flow.Run, in args) (result, error) {
					return result(in), code(run)
				})
			}
			tried := make(chan struct{}, 1)
			one := w.work(def(func(run *flow.Run) error {
				if _, err := flow.Step(run, "one", value(1), flow.WithInput("this")); err != nil {
					return err
				}
				_, err := flow.Step(run, "stands", func(context.Context) (int, error) {
					select {
					case tried <- struct{}{}:
					default: // it was seen already
					}
					return 0, fmt.Errorf("no connection")
				}, flow.WithRetry(flow.Retry{First: time.Second, Max: time.Second}))
				return err
			}))
			if _, err := flow.Start(within(t), w.client, def(nil), "a", args{"x"}); err != nil {
				t.Fatal(err)
			}
			<-tried
			bustest.Eventually(t, patience, func() bool {
				s, err := w.client.Get(within(t), "changing", "a")
				return err == nil && len(s.Steps) == 2
			}, "the first step to be journaled")
			one.stop()
			w.work(def(changed.code))
			s := w.state("changing", "a", flow.Stuck)
			for _, word := range changed.words {
				if !strings.Contains(s.Reason, word) {
					t.Errorf("the reason %q does not name %q", s.Reason, word)
				}
			}
		})
	}
}

// A journal beyond one page, with results beyond one page and steps that pile up, is
// read back completely by another worker.
func TestALongJournal(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var effects book
	const n, half = 60, 30
	letter := func(i int) string { return string(rune('a' + i%26)) }
	stands := make(chan struct{}, 1)
	var crashed atomic.Bool
	def := flow.Define("long", 1, func(run *flow.Run, in args) (result, error) {
		text := in.Text
		for i := range n {
			step := fmt.Sprint("s", i)
			s, err := flow.Step(run, step, func(ctx context.Context) (string, error) {
				if i == half && !crashed.Load() {
					stands <- struct{}{}
					<-ctx.Done()
					return "", ctx.Err()
				}
				effects.note(step, "")
				return strings.Repeat(letter(i), 1<<(i%18)), nil
			})
			if err != nil {
				return result{}, err
			}
			text += s[:1]
		}
		return result{text}, nil
	})
	one := w.work(def)
	h, err := flow.Start(within(t), w.client, def, "a", args{})
	if err != nil {
		t.Fatal(err)
	}
	<-stands
	bustest.Eventually(t, patience, func() bool {
		s, err := w.client.Get(within(t), "long", "a")
		return err == nil && len(s.Steps) == half
	}, "half of the journal to be stored")
	crashed.Store(true)
	one.crash()
	w.work(def)
	out, err := h.Result(within(t))
	if err != nil {
		t.Fatal(err)
	}
	want := ""
	for i := range n {
		want += letter(i)
		if c := effects.count(fmt.Sprint("s", i)); c != 1 {
			t.Errorf("step %d ran %d times", i, c)
		}
	}
	if out.Text != want {
		t.Errorf("got %q, want %q", out.Text, want)
	}
	if s := w.state("long", "a", flow.Completed); len(s.Steps) != n {
		t.Errorf("the state has %d steps", len(s.Steps))
	}
}
