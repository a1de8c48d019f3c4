package flow_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/flow"
)

var errRefused = contract.NewError(contract.Unprocessable, "refused", "this one is refused")

// ending ends as its input says.
func ending(effects *book) flow.Definition[args, result] {
	return flow.Define("ending", 1, func(run *flow.Run, in args) (result, error) {
		out, err := flow.Step(run, "do", func(context.Context) (result, error) {
			effects.note(run.ID(), run.Key("do"))
			if in.Text == "fail" {
				return result{}, errRefused
			}
			return result(in), nil
		})
		if err != nil {
			return result{}, err
		}
		switch in.Text {
		case "wait":
			_, err = flow.Await[string](run, "go", 0)
		case "stick":
			_, err = flow.Step(run, "bad.name", func(context.Context) (int, error) { return 0, nil })
		}
		return out, err
	})
}

// condensed waits until only the result of an instance is left.
func (w *world) condensed(name, id string) flow.State {
	w.t.Helper()
	var s flow.State
	bustest.Eventually(w.t, patience, func() bool {
		var err error
		s, err = w.client.Get(within(w.t), name, id)
		return err == nil && s.Condensed
	}, name, " ", id, " to be condensed")
	return s
}

func (w *world) inbox(name, id string) uint64 {
	return w.pending("flow." + service + ".in.*." + name + "." + id)
}

// What has ended is reduced to its result, which still answers; what has not is left
// alone.
func TestEndedFlowsAreCondensed(t *testing.T) {
	t.Parallel()
	bustest.Each(t, func(t *testing.T, b *bustest.Broker) {
		w := worldOn(t, b)
		var effects book
		def := ending(&effects)
		conn := b.Dial(t, bustest.WithService(service))
		start(t, conn, []flow.Registered{def}, flow.WithKeep(300*time.Millisecond), flow.WithOrphans(time.Millisecond))
		inputs := map[string]args{
			"small": {"x"}, "medium": {big("m", 6)}, "large": {big("l", 300)}, "failed": {"fail"},
			"waiting": {"wait"}, "cancelled": {"wait"}, "stuck": {"stick"},
		}
		for id, in := range inputs {
			if _, err := flow.Start(within(t), w.client, def, id, in); err != nil {
				t.Fatal(err)
			}
		}
		w.state("ending", "waiting", flow.Waiting)
		w.state("ending", "stuck", flow.Stuck)
		w.state("ending", "cancelled", flow.Waiting)
		if err := w.client.Cancel(within(t), "ending", "cancelled", "enough"); err != nil {
			t.Fatal(err)
		}
		want := map[string]flow.Status{
			"small": flow.Completed, "medium": flow.Completed, "large": flow.Completed, "failed": flow.Failed, "cancelled": flow.Cancelled,
		}
		for id, status := range want {
			s := w.condensed("ending", id)
			if s.Status != status || len(s.Steps) > 0 || s.Ended.IsZero() || s.Ended.Before(s.Started) {
				t.Errorf("%s: %+v", id, s)
			}
			if n := w.pending(contract.FlowLog(service, "ending", id)); n != 1 {
				t.Errorf("%s: %d messages are left of the journal", id, n)
			}
			if n := w.inbox("ending", id); n != 1 {
				t.Errorf("%s: %d messages are left in the inbox", id, n)
			}
			if _, err := flow.Start(within(t), w.client, def, id, inputs[id]); err != nil {
				t.Errorf("%s: a second start: %v", id, err)
			}
			got, err := flow.Do(within(t), w.client, def, id, inputs[id])
			if (status == flow.Completed) != (err == nil) || got.Text != inputs[id].Text && err == nil {
				t.Errorf("%s: a second start has %d bytes, %v", id, len(got.Text), err)
			}
			if _, err := flow.Start(within(t), w.client, def, id, args{"other"}); !errors.Is(err, flow.ErrOtherInput) {
				t.Errorf("%s: another input: %v", id, err)
			}
			if effects.count(id) != 1 {
				t.Errorf("%s ran again", id)
			}
		}
		if _, err := flow.Do(within(t), w.client, def, "failed", inputs["failed"]); !errors.Is(err, errRefused) {
			t.Errorf("the failure: %v", err)
		}
		if _, err := flow.Do(within(t), w.client, def, "cancelled", inputs["cancelled"]); !errors.Is(err, flow.ErrCancelled) {
			t.Errorf("the cancel: %v", err)
		}
		// Of the large values only the results are needed: two, each named in its record.
		bustest.Eventually(t, patience, func() bool { return len(w.objects()) == 2 }, "the objects to go")
		if s := w.state("ending", "waiting", flow.Waiting); s.Condensed || len(s.Steps) != 2 {
			t.Errorf("the waiting flow: %+v", s)
		}
		if s := w.state("ending", "stuck", flow.Stuck); s.Condensed || len(s.Steps) != 1 {
			t.Errorf("the stuck flow: %+v", s)
		}
		if err := w.client.Signal(within(t), "ending", "waiting", "go", "1", "now"); err != nil {
			t.Fatal(err)
		}
		if got, err := flow.Result[result](within(t), w.client, "ending", "waiting"); err != nil || got.Text != "wait" {
			t.Errorf("the waiting flow ended with %+v, %v", got, err)
		}
	}, bustest.WithStreams(streams()...))
}

// When its result is forgotten, too, an id is free again and nothing is left of it but
// a gravestone, which goes by itself.
func TestForgottenFlowsStartAnew(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var effects book
	def := ending(&effects)
	start(t, w.broker.Dial(t, bustest.WithService(service)), []flow.Registered{def},
		flow.WithKeep(100*time.Millisecond), flow.WithKeepResult(time.Second), flow.WithOrphans(time.Millisecond))
	in := args{big("x", 300)}
	for n := 1; n <= 3; n++ {
		if got, err := flow.Do(within(t), w.client, def, "a", in); err != nil || got.Text != in.Text {
			t.Fatalf("got %d bytes, %v", len(got.Text), err)
		}
		if effects.count("a") != n {
			t.Fatalf("the step ran %d times in %d lives", effects.count("a"), n)
		}
		w.condensed("ending", "a")
		bustest.Eventually(t, patience, func() bool {
			_, err := w.client.Get(within(t), "ending", "a")
			return errors.Is(err, flow.ErrNotFound)
		}, "the result to be forgotten")
		bustest.Eventually(t, patience, func() bool { return len(w.objects()) == 0 }, "the large values to go")
		if n := w.inbox("ending", "a"); n != 1 {
			t.Errorf("%d messages are left in the inbox", n)
		}
	}
}

// A janitor that dies half-way leaves a flow that still answers, and the next one
// finishes its work.
func TestAHalfCondensedFlowAnswersAndIsCondensed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var effects book
	def := ending(&effects)
	first := w.work(def)
	in := args{"x"}
	if _, err := flow.Do(within(t), w.client, def, "a", in); err != nil {
		t.Fatal(err)
	}
	admin := w.broker.Dial(t)
	bustest.Eventually(t, patience, func() bool { return flow.BuryInputs(within(t), admin, service, "ending", "a") == nil }, "the inputs to go")
	if s, err := w.client.Get(within(t), "ending", "a"); err != nil || s.Condensed || len(s.Steps) != 1 {
		t.Errorf("half-way: %+v, %v", s, err)
	}
	again := func() {
		t.Helper()
		if got, err := flow.Do(within(t), w.client, def, "a", in); err != nil || got.Text != "x" {
			t.Errorf("a second start: %+v, %v", got, err)
		}
		if _, err := flow.Start(within(t), w.client, def, "a", args{"other"}); !errors.Is(err, flow.ErrOtherInput) {
			t.Errorf("another input: %v", err)
		}
	}
	again()
	first.stop()
	start(t, w.broker.Dial(t, bustest.WithService(service)), []flow.Registered{def}, flow.WithKeep(time.Millisecond))
	w.condensed("ending", "a")
	again()
	if effects.count("a") != 1 {
		t.Error("the flow ran again")
	}
}

// A start from a client that knows nothing of result records is answered by the worker.
func TestAStartThatReachesAResultRecord(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var effects book
	def := ending(&effects)
	first := start(t, w.broker.Dial(t, bustest.WithService(service)), []flow.Registered{def}, flow.WithKeep(time.Millisecond))
	parent := flow.Define("parent", 1, func(run *flow.Run, in args) (result, error) {
		c, err := flow.StartChild(run, def, "a", in)
		if err != nil {
			return result{}, err
		}
		return c.Await()
	})
	if _, err := flow.Do(within(t), w.client, def, "a", args{"x"}); err != nil {
		t.Fatal(err)
	}
	w.condensed("ending", "a")
	first.stop()
	start(t, w.broker.Dial(t, bustest.WithService(service)), []flow.Registered{parent, def})
	if got, err := flow.Do(within(t), w.client, parent, "p", args{"x"}); err != nil || got.Text != "x" {
		t.Errorf("the parent of a child that ended long ago: %+v, %v", got, err)
	}
	if effects.count("a") != 1 {
		t.Error("the child ran again")
	}
}

func TestRetentionOptionsAreChecked(t *testing.T) {
	t.Parallel()
	var effects book
	conn := bustest.New(t)
	for name, opt := range map[string]flow.Option{"keep": flow.WithKeep(0), "result": flow.WithKeepResult(time.Millisecond)} {
		if _, err := flow.NewWorker(conn, service, []flow.Registered{ending(&effects)}, opt); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
