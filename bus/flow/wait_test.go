package flow_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/flow"
)

// pending is how many messages the stream holds under a filter.
func (w *world) pending(filter string) uint64 {
	w.t.Helper()
	stream, err := w.broker.Dial(w.t, bustest.WithService("onlooker")).JetStream().Stream(within(w.t), contract.FlowStream)
	if err != nil {
		w.t.Fatal(err)
	}
	info, err := stream.Info(within(w.t), jetstream.WithSubjectFilter(filter))
	if err != nil {
		w.t.Fatal(err)
	}
	var n uint64
	for _, count := range info.State.Subjects {
		n += count
	}
	return n
}

func TestASleepIsNeverCutShort(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	def := flow.Define("nap", 1, func(run *flow.Run, d int64) (int64, error) {
		began := run.Now()
		if err := run.Sleep("nap", time.Duration(d)); err != nil {
			return 0, err
		}
		return int64(run.Now().Sub(began)), nil
	})
	w.work(def)
	for id, d := range map[string]time.Duration{"short": 50 * time.Millisecond, "long": 2500 * time.Millisecond} {
		slept, err := flow.Do(within(t), w.client, def, id, int64(d))
		if err != nil || slept < int64(d) {
			t.Errorf("slept %v of %v: %v", time.Duration(slept), d, err)
		}
	}
	if n := w.pending("flow." + service + ".timer.>"); n != 0 {
		t.Errorf("%d schedules are left behind", n)
	}
}

// A flow that waits long holds no input, leaves memory, and goes on wherever a worker
// is when its signal comes.
func TestAWaitOutlivesItsWorker(t *testing.T) {
	t.Parallel()
	bustest.Each(t, func(t *testing.T, b *bustest.Broker) { waitOutlivesWorker(t, worldOn(t, b)) }, bustest.WithStreams(streams()...))
}

func waitOutlivesWorker(t *testing.T, w *world) {
	t.Helper()
	def := flow.Define("approval", 1, func(run *flow.Run, in args) (result, error) {
		run.Report(map[string]string{"at": "the desk"})
		said, err := flow.Await[string](run, "approve", time.Hour)
		return result{Text: in.Text + " " + said}, err
	})
	first := w.work(def)
	h, err := flow.Start(within(t), w.client, def, "a", args{"tea"})
	if err != nil {
		t.Fatal(err)
	}
	w.state("approval", "a", flow.Waiting)
	first.stop()
	second := w.work(def)
	defer second.stop()
	state := w.state("approval", "a", flow.Waiting)
	if string(state.Report) != `{"at":"the desk"}` {
		t.Errorf("report %s", state.Report)
	}
	for range 2 { // the second one is the same signal
		if err := w.client.Signal(within(t), "approval", "a", "approve", "s1", "granted"); err != nil && !errors.Is(err, flow.ErrEnded) {
			t.Fatal(err)
		}
	}
	got, err := h.Result(within(t))
	if err != nil || got.Text != "tea granted" {
		t.Errorf("got %+v, %v", got, err)
	}
	if n := w.pending("flow." + service + ".timer.>"); n != 0 {
		t.Errorf("%d schedules are left behind", n)
	}
}

func TestSignalsBeforeTheirWaitAreKeptInOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	begin := make(chan struct{})
	def := flow.Define("collect", 1, func(run *flow.Run, _ args) ([]string, error) {
		if _, err := flow.Step(run, "begin", func(ctx context.Context) (int, error) {
			select {
			case <-begin:
			case <-ctx.Done():
			}
			return 1, ctx.Err()
		}); err != nil {
			return nil, err
		}
		var all []string
		for range 3 {
			s, err := flow.Await[string](run, "word", 0)
			if err != nil {
				return nil, err
			}
			all = append(all, s)
		}
		return all, nil
	})
	w.work(def)
	h, err := flow.Start(within(t), w.client, def, "a", args{})
	if err != nil {
		t.Fatal(err)
	}
	w.state("collect", "a", flow.Pending)
	for _, s := range []struct {
		id   string
		body any
	}{{"1", "one"}, {"2", "two"}, {"1", "again"}, {"3", 3}, {"4", "three"}} {
		if err := w.client.Signal(within(t), "collect", "a", "word", s.id, s.body); err != nil {
			t.Fatal(err)
		}
	}
	close(begin)
	got, err := h.Result(within(t))
	if err != nil || len(got) != 3 || got[0] != "one" || got[1] != "two" || got[2] != "three" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestAWaitEndsInTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	def := flow.Define("impatient", 1, func(run *flow.Run, _ args) (string, error) {
		_, err := flow.Await[string](run, "never", 30*time.Millisecond)
		if !errors.Is(err, flow.ErrTimedOut) {
			return "", err
		}
		return "timed out", nil
	})
	w.work(def)
	if got, err := flow.Do(within(t), w.client, def, "a", args{}); err != nil || got != "timed out" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestACancelWakesAWait(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	undone := make(chan struct{})
	def := flow.Define("sleeper", 1, func(run *flow.Run, _ args) (string, error) {
		flow.Compensate(run, "undo", func(context.Context) error { close(undone); return nil })
		return "", run.Sleep("year", 365*24*time.Hour)
	})
	w.work(def)
	h, err := flow.Start(within(t), w.client, def, "a", args{})
	if err != nil {
		t.Fatal(err)
	}
	w.state("sleeper", "a", flow.Waiting)
	if err := w.client.Cancel(within(t), "sleeper", "a", "enough"); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Result(within(t)); !errors.Is(err, flow.ErrCancelled) {
		t.Errorf("got %v", err)
	}
	<-undone
	if n := w.pending("flow." + service + ".timer.>"); n != 0 {
		t.Errorf("%d schedules are left behind", n)
	}
}

func TestADeadlineCompensatesAndFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	undone := make(chan struct{})
	def := flow.Define("late", 1, func(run *flow.Run, _ args) (string, error) {
		flow.Compensate(run, "undo", func(context.Context) error { close(undone); return nil })
		return flow.Step(run, "slow", func(context.Context) (string, error) { return "", errors.New("not yet") })
	}, flow.WithDeadline(200*time.Millisecond))
	w.work(def)
	if _, err := flow.Do(within(t), w.client, def, "a", args{}); !errors.Is(err, flow.ErrDeadline) {
		t.Errorf("got %v", err)
	}
	<-undone
	w.state("late", "a", flow.Failed)
}

func TestTimersThatCannotBeMeant(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	def := flow.Define("odd", 1, func(run *flow.Run, in int64) (string, error) {
		if err := run.Sleep("odd", time.Duration(in)); err != nil {
			return "", err
		}
		return "slept", nil
	})
	w.work(def)
	for id, d := range map[string]time.Duration{"zero": 0, "negative": -time.Second, "century": 100 * 365 * 24 * time.Hour} {
		if _, err := flow.Do(within(t), w.client, def, id, int64(d)); !errors.Is(err, flow.ErrBadTimer) {
			t.Errorf("%s: got %v", id, err)
		}
	}
}

func TestAParentHearsOfItsChildren(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	refused := contract.NewError(contract.Conflict, "no", "the child refuses")
	child := flow.Define("child", 1, func(run *flow.Run, in args) (result, error) {
		if in.Text == "bad" {
			return result{}, refused
		}
		return result{Text: "child of " + in.Text}, run.Sleep("nap", 20*time.Millisecond)
	})
	parent := flow.Define("parent", 1, func(run *flow.Run, in args) (result, error) {
		good, err := flow.StartChild(run, child, in.Text+"-good", args{in.Text})
		if err != nil {
			return result{}, err
		}
		bad, err := flow.StartChild(run, child, in.Text+"-bad", args{"bad"})
		if err != nil {
			return result{}, err
		}
		if _, err := flow.StartChild(run, child, in.Text+"-own", args{"own"}, flow.Detached()); err != nil {
			return result{}, err
		}
		if _, err := bad.Await(); !errors.Is(err, refused) {
			return result{}, err
		}
		return good.Await()
	})
	w.work(parent, child)
	got, err := flow.Do(within(t), w.client, parent, "p", args{"p"})
	if err != nil || got.Text != "child of p" {
		t.Errorf("got %+v, %v", got, err)
	}
	if got, err := flow.Result[result](within(t), w.client, "child", "p-own"); err != nil || got.Text != "child of own" {
		t.Errorf("the detached child ended with %+v, %v", got, err)
	}
}

func TestACancelReachesTheChildren(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	child := flow.Define("child", 1, func(run *flow.Run, _ args) (result, error) {
		return result{}, run.Sleep("year", 365*24*time.Hour)
	})
	parent := flow.Define("parent", 1, func(run *flow.Run, in args) (result, error) {
		for _, id := range []string{"attached", "detached"} {
			var opts []flow.ChildOption
			if id == "detached" {
				opts = append(opts, flow.Detached())
			}
			if _, err := flow.StartChild(run, child, id, in, opts...); err != nil {
				return result{}, err
			}
		}
		_, err := flow.Await[string](run, "never", 0)
		return result{}, err
	})
	w.work(parent, child)
	h, err := flow.Start(within(t), w.client, parent, "p", args{})
	if err != nil {
		t.Fatal(err)
	}
	w.state("child", "attached", flow.Waiting)
	w.state("child", "detached", flow.Waiting)
	w.state("parent", "p", flow.Waiting)
	if err := w.client.Cancel(within(t), "parent", "p", "enough"); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Result(within(t)); !errors.Is(err, flow.ErrCancelled) {
		t.Errorf("got %v", err)
	}
	if _, err := flow.Result[result](within(t), w.client, "child", "attached"); !errors.Is(err, flow.ErrCancelled) {
		t.Errorf("the attached child: %v", err)
	}
	w.state("child", "detached", flow.Waiting)
}

func TestContinueAsNewKeepsTheIdAndForgetsTheJournal(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	seen := make(chan string, 100)
	def := flow.Define("counter", 1, func(run *flow.Run, in int) (int, error) {
		n, err := flow.Step(run, "add", func(context.Context) (int, error) {
			seen <- run.Key("add")
			return in + 1, nil
		})
		if err != nil {
			return 0, err
		}
		if n < 10 {
			return flow.ContinueAsNew[int](run, n)
		}
		return n, nil
	})
	w.work(def)
	got, err := flow.Do(within(t), w.client, def, "a", 0)
	if err != nil || got != 10 {
		t.Fatalf("got %d, %v", got, err)
	}
	keys := map[string]bool{}
	for len(seen) > 0 {
		keys[<-seen] = true
	}
	if len(keys) != 10 {
		t.Errorf("%d keys for 10 generations", len(keys))
	}
	if state := w.state("counter", "a", flow.Completed); len(state.Steps) != 1 {
		t.Errorf("the journal has %d steps", len(state.Steps))
	}
}
