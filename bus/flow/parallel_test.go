package flow_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/flow"
)

// Branches really run at the same time: each waits for all others.
func TestBranchesRunAtTheSameTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var inside atomic.Int64
	together := make(chan struct{})
	meet := func(n int) func(context.Context) (int, error) {
		return func(ctx context.Context) (int, error) {
			if inside.Add(1) == 3 {
				close(together)
			}
			select {
			case <-together:
				return n, nil
			case <-ctx.Done():
				return 0, ctx.Err()
			}
		}
	}
	def := flow.Define("meet", 1, func(run *flow.Run, _ args) (int, error) {
		a, b, c := flow.Parallel("a", meet(1)), flow.Parallel("b", meet(20)), flow.Parallel("c", meet(300))
		err := flow.All(run, a, b, c)
		return a.Value() + b.Value() + c.Value(), err
	})
	w.work(def)
	if got, err := flow.Do(within(t), w.client, def, "a", args{}); err != nil || got != 321 {
		t.Errorf("got %d, %v", got, err)
	}
	if s := w.state("meet", "a", flow.Completed); len(s.Steps) != 3 || s.Steps[0].Kind != "branch" {
		t.Errorf("the journal has %+v", s.Steps)
	}
}

// The losers of a race are cancelled and awaited before the flow goes on.
func TestTheLosersOfARaceAreCancelled(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var losers, seen atomic.Int64
	lose := func(ctx context.Context) (string, error) {
		<-ctx.Done()
		losers.Add(1)
		return "late", nil
	}
	def := flow.Define("race", 1, func(run *flow.Run, _ args) (string, error) {
		a, b, c := flow.Parallel("a", lose), flow.Parallel("b", func(context.Context) (string, error) { return "b", nil }), flow.Parallel("c", lose)
		winner, err := flow.Race(run, a, b, c)
		seen.Store(losers.Load())
		if winner != 1 || a.Value() != "" || c.Value() != "" {
			return "", errTaken
		}
		return b.Value(), err
	})
	w.work(def)
	if got, err := flow.Do(within(t), w.client, def, "a", args{}); err != nil || got != "b" {
		t.Errorf("got %q, %v", got, err)
	}
	if seen.Load() != 2 {
		t.Errorf("%d losers had ended when the flow went on", seen.Load())
	}
}

// A cancel lets running attempts end, starts none and is what the group returns.
func TestACancelDuringAGroup(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	running, release := make(chan struct{}), make(chan struct{})
	var attempts, undone atomic.Int64
	def := flow.Define("stopped", 1, func(run *flow.Run, _ args) (int, error) {
		flow.Compensate(run, "undo", func(context.Context) error { undone.Add(1); return nil })
		slow := flow.Parallel("slow", func(ctx context.Context) (int, error) {
			close(running)
			<-release
			return 1, ctx.Err()
		})
		failing := flow.Parallel("failing", func(context.Context) (int, error) {
			attempts.Add(1)
			return 0, errors.New("never")
		}, flow.WithRetry(flow.Retry{First: time.Millisecond, Max: time.Millisecond}))
		return 0, flow.All(run, slow, failing)
	})
	w.work(def)
	h, err := flow.Start(within(t), w.client, def, "a", args{})
	if err != nil {
		t.Fatal(err)
	}
	<-running
	bustest.Eventually(t, patience, func() bool { return attempts.Load() > 3 }, "attempts")
	if err := w.client.Cancel(within(t), "stopped", "a", "enough"); err != nil {
		t.Fatal(err)
	}
	bustest.Eventually(t, patience, func() bool {
		before := attempts.Load()
		return pause(within(t), 50*time.Millisecond) == nil && attempts.Load() == before
	}, "no more attempts")
	close(release)
	if _, err := h.Result(within(t)); !errors.Is(err, flow.ErrCancelled) {
		t.Errorf("got %v", err)
	}
	if undone.Load() != 1 {
		t.Errorf("%d compensations", undone.Load())
	}
	s := w.state("stopped", "a", flow.Cancelled)
	if len(s.Steps) != 3 || s.Steps[0].Name != "slow" || s.Steps[1].Kind != "cancel" {
		t.Errorf("the journal has %+v", s.Steps)
	}
}

// What a parallel step must not do parks the flow and names it.
func TestGroupsThatCannotBe(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one := func(context.Context) (int, error) { return 1, nil }
	cases := map[string]struct {
		run   func(run *flow.Run)
		words []string
	}{
		"nested": {func(run *flow.Run) {
			_ = flow.All(run, flow.Parallel("outer", func(context.Context) (int, error) { return flow.Step(run, "inner", one) }))
		}, []string{"inner", "outer", "nested"}},
		"waiting": {func(run *flow.Run) {
			_, _ = flow.Race(run, flow.Parallel("outer", func(context.Context) (int, error) { return 0, run.Sleep("nap", time.Second) }))
		}, []string{"nap", "outer", "nested"}},
		"twice":  {func(run *flow.Run) { _ = flow.All(run, flow.Parallel("x", one), flow.Parallel("x", one)) }, []string{`"x"`, "twice"}},
		"nobody": {func(run *flow.Run) { _, _ = flow.Race(run) }, []string{"race"}},
		"doubt": {func(run *flow.Run) {
			_ = flow.All(run, flow.Parallel("one", one), flow.Parallel("once", func(context.Context) (int, error) {
				return 0, errors.New("cut off")
			}, flow.WithAtMostOnce()))
		}, []string{"once", "must not be repeated", "cut off"}},
		"panics": {func(run *flow.Run) {
			_ = flow.All(run, flow.Parallel("boom", func(context.Context) (int, error) { panic("broken") }, flow.WithRetry(flow.Retry{First: 1e6, Max: 1e6})))
		}, []string{"boom", "panicked 5 times", "broken"}},
	}
	var flows []flow.Registered
	defs := map[string]flow.Definition[args, result]{}
	for name, c := range cases {
		defs[name] = flow.Define(name, 1, func(run *flow.Run, in args) (result, error) {
			c.run(run)
			return result(in), nil
		})
		flows = append(flows, defs[name])
	}
	w.work(flows...)
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			expectStuck(t, &world{t: t, broker: w.broker, client: w.client}, defs[name], "a", c.words...)
		})
	}
}

// A branch that will be tried again in a long while holds neither inputs nor memory, and
// no other branch runs again.
func TestAGroupRestsBetweenAttempts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var effects book
	def := flow.Define("rests", 1, func(run *flow.Run, _ args) (string, error) {
		quick := flow.Parallel("quick", func(context.Context) (string, error) {
			effects.note("quick", run.Key("quick"))
			return "q", nil
		})
		late := flow.Parallel("late", func(context.Context) (string, error) {
			effects.note("late", run.Key("late"))
			if effects.count("late") == 1 {
				return "", errors.New("not yet")
			}
			return "l", nil
		}, flow.WithRetry(flow.Retry{First: 8 * time.Second, Max: 8 * time.Second}))
		err := flow.All(run, quick, late)
		return quick.Value() + late.Value(), err
	})
	first := w.work(def)
	h, err := flow.Start(within(t), w.client, def, "a", args{})
	if err != nil {
		t.Fatal(err)
	}
	bustest.Eventually(t, patience, func() bool { return w.pending("flow."+service+".timer.>") == 1 }, "an alarm")
	s, err := w.client.Get(within(t), "rests", "a")
	if err != nil || len(s.Steps) != 2 || s.Steps[1].Name != "late" || s.Steps[1].Attempts != 1 || s.Steps[1].Due.IsZero() || !strings.Contains(s.Steps[1].Last, "not yet") {
		t.Errorf("the journal has %+v, %v", s.Steps, err)
	}
	first.stop()
	w.work(def)
	if got, err := h.Result(within(t)); err != nil || got != "ql" {
		t.Errorf("got %q, %v", got, err)
	}
	if effects.count("quick") != 1 || effects.count("late") != 2 {
		t.Errorf("the attempts were %v", effects.names())
	}
}

// Kill -9 amid parallel steps: the other worker runs what has no record, and nothing else.
func TestKillNineAmidParallelSteps(t *testing.T) {
	t.Parallel()
	bustest.Each(t, func(t *testing.T, b *bustest.Broker) {
		w := worldOn(t, b)
		effects := newWitness(t, b.Dial(t))
		one, two := startChild(t, b.URL()), startChild(t, b.URL())
		w.balanced(2)
		ids, wait := w.flowingOf("wide", "a", 40)
		bustest.Eventually(t, patience, func() bool { return effects.of(one.pid()) > 40 && effects.of(two.pid()) > 40 }, "both workers to be in the middle")
		one.kill()
		wait()
		effects.check(t, ids, 400) // whatever of the killed one's had no record yet
	}, bustest.WithStreams(streams()...))
}
