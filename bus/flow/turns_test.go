package flow_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/flow"
)

// A thousand inputs of one flow do not delay the first of another.
func TestNamesTakeTurns(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	release := make(chan struct{})
	var finished atomic.Int64
	heavy := flow.Define("heavy", 1, func(run *flow.Run, in args) (result, error) {
		return flow.Step(run, "work", func(ctx context.Context) (result, error) {
			select {
			case <-release:
				finished.Add(1)
				return result(in), nil
			case <-ctx.Done():
				return result{}, ctx.Err()
			}
		})
	})
	light := flow.Define("light", 1, func(run *flow.Run, in args) (result, error) {
		return flow.Step(run, "work", func(context.Context) (result, error) { return result(in), nil })
	})
	start(t, w.broker.Dial(t, bustest.WithService(service)), []flow.Registered{heavy, light}, flow.WithCapacity(4))
	var starts sync.WaitGroup
	for i := range 1000 {
		starts.Go(func() {
			if _, err := flow.Start(within(t), w.client, heavy, itoa(i), args{}); err != nil {
				t.Error(err)
			}
		})
	}
	starts.Wait()
	bustest.Eventually(t, patience, func() bool {
		for i := range 1000 {
			if s, err := w.client.Get(within(t), "heavy", itoa(i)); err == nil && s.Status == flow.Running {
				return true
			}
		}
		return false
	}, "the heavy flows to run")
	done := make(chan error, 1)
	go func() {
		_, err := flow.Do(within(t), w.client, light, "a", args{"x"})
		done <- err
	}()
	before, ended := int64(0), false
	for !ended { // one at a time, until the light one has had its turn
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			before, ended = finished.Load(), true
		case release <- struct{}{}:
			bustest.Eventually(t, patience, func() bool { return finished.Load() > before || len(done) > 0 }, "a heavy flow to go on")
			before = finished.Load()
		}
	}
	if before > 100 {
		t.Errorf("%d heavy flows came before the light one", before)
	}
	close(release)
	for i := range 1000 {
		w.state("heavy", itoa(i), flow.Completed)
	}
}

// No more instances of a flow run at once than it allows, and all of them end.
func TestAFlowBoundsItsInstances(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var inside, most atomic.Int64
	def := flow.Define("bounded", 1, func(run *flow.Run, in args) (result, error) {
		return flow.Step(run, "work", func(ctx context.Context) (result, error) {
			n := inside.Add(1)
			defer inside.Add(-1)
			for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
			}
			return result(in), pause(ctx, 2*time.Millisecond)
		})
	}, flow.WithMaxRunning(3))
	w.work(def)
	var all sync.WaitGroup
	for i := range 100 {
		all.Go(func() {
			if _, err := flow.Do(within(t), w.client, def, itoa(i), args{"x"}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := most.Load(); n != 3 {
		t.Errorf("%d ran at once", n)
	}
}

// Who waits, for a signal, a child or the next attempt, is in nobody's way.
func TestWhoWaitsTakesNoRoom(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var tries atomic.Int64
	child := flow.Define("child", 1, func(run *flow.Run, in args) (result, error) {
		return result{in.Text + "!"}, run.Sleep("nap", 20*time.Millisecond)
	})
	parent := flow.Define("parent", 1, func(run *flow.Run, in args) (result, error) {
		c, err := flow.StartChild(run, child, run.ID()+"-c", in)
		if err != nil {
			return result{}, err
		}
		if _, err := flow.Await[string](run, "go", 0); err != nil {
			return result{}, err
		}
		return c.Await()
	})
	flaky := flow.Define("flaky", 1, func(run *flow.Run, in args) (result, error) {
		return flow.Step(run, "work", func(context.Context) (result, error) {
			tries.Add(1)
			return result{}, errors.New("not yet")
		}, flow.WithRetry(flow.Retry{First: time.Hour, Max: time.Hour}))
	})
	start(t, w.broker.Dial(t, bustest.WithService(service)), []flow.Registered{parent, child, flaky}, flow.WithCapacity(1))
	p, err := flow.Start(within(t), w.client, parent, "p", args{"x"})
	if err != nil {
		t.Fatal(err)
	}
	w.state("parent", "p", flow.Waiting)
	f, err := flow.Start(within(t), w.client, flaky, "f", args{"y"})
	if err != nil {
		t.Fatal(err)
	}
	bustest.Eventually(t, patience, func() bool { return tries.Load() == 1 }, "the first attempt")
	if got, err := flow.Do(within(t), w.client, child, "other", args{"z"}); err != nil || got.Text != "z!" || tries.Load() != 1 {
		t.Errorf("between two attempts: %+v, %v, after %d tries", got, err, tries.Load())
	}
	if err := w.client.Signal(within(t), "parent", "p", "go", "1", "now"); err != nil {
		t.Fatal(err)
	}
	if got, err := p.Result(within(t)); err != nil || got.Text != "x!" {
		t.Errorf("the parent: %+v, %v", got, err)
	}
	if err := w.client.Cancel(within(t), "flaky", "f", "enough"); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Result(within(t)); !errors.Is(err, flow.ErrCancelled) || tries.Load() != 1 {
		t.Errorf("the cancelled one: %v after %d tries", err, tries.Load())
	}
}

func TestCapacitiesAreChecked(t *testing.T) {
	t.Parallel()
	def := flow.Define("plain", 1, func(_ *flow.Run, in args) (result, error) { return result(in), nil })
	if _, err := flow.NewWorker(bustest.New(t), service, []flow.Registered{def}, flow.WithCapacity(0)); err == nil {
		t.Error("a capacity of nothing was accepted")
	}
	defer func() {
		if recover() == nil {
			t.Error("no instance at all was accepted")
		}
	}()
	flow.Define("none", 1, func(_ *flow.Run, in args) (result, error) { return result(in), nil }, flow.WithMaxRunning(0))
}
