package flow_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/flow"
)

func TestMain(m *testing.M) {
	childMain()
	bustest.Main(m)
}

// three is a flow of n steps that are counted.
func steps(name string, n int, b *book) flow.Definition[args, result] {
	return flow.Define(name, 1, func(run *flow.Run, in args) (result, error) {
		text := in.Text
		for i := range n {
			step := fmt.Sprint("s", i)
			s, err := flow.Step(run, step, func(context.Context) (string, error) {
				b.note(step, run.Key(step))
				return fmt.Sprint(i), nil
			})
			if err != nil {
				return result{}, err
			}
			text += s
		}
		return result{text}, nil
	})
}

func TestStepsRunOnceAndTheResultComesBack(t *testing.T) {
	t.Parallel()
	bustest.Each(t, func(t *testing.T, b *bustest.Broker) {
		w := worldOn(t, b)
		var effects book
		def := steps("three", 3, &effects)
		w.work(def)
		var wg sync.WaitGroup
		for i := range 40 {
			wg.Go(func() {
				out, err := flow.Do(within(t), w.client, def, fmt.Sprint("id", i/2), args{"x"}) // each id twice at once
				if err != nil || out.Text != "x012" {
					t.Errorf("got %+v, %v", out, err)
				}
			})
		}
		wg.Wait()
		for i := range 20 { // and once more when they have ended
			out, err := flow.Do(within(t), w.client, def, fmt.Sprint("id", i), args{"x"})
			if err != nil || out.Text != "x012" {
				t.Errorf("got %+v, %v", out, err)
			}
		}
		if n := len(effects.names()); n != 60 {
			t.Errorf("steps ran %d times, want 60", n)
		}
		s := w.state("three", "id0", flow.Completed)
		if len(s.Steps) != 3 || !s.Steps[2].Done || s.Steps[2].Name != "s2" || s.Steps[2].Attempts != 1 || s.Version != 1 {
			t.Errorf("state %+v", s)
		}
	}, bustest.WithStreams(streams()...))
}

func TestAnIdBelongsToOneInput(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var effects book
	def := steps("one", 1, &effects)
	w.work(def)
	if _, err := flow.Do(within(t), w.client, def, "a", args{"x"}); err != nil {
		t.Fatal(err)
	}
	if _, err := flow.Do(within(t), w.client, def, "a", args{"y"}); !errors.Is(err, flow.ErrOtherInput) {
		t.Errorf("got %v, want ErrOtherInput", err)
	}
	if _, err := flow.Start(within(t), w.client, def, "a.b", args{}); contract.AsError(err).Code != contract.Invalid {
		t.Errorf("a bad id gives %v", err)
	}
	if n := effects.count("s0"); n != 1 {
		t.Errorf("the step ran %d times", n)
	}
}

func TestResultOfARunningInstance(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gate := make(chan struct{})
	def := flow.Define("slow", 1, func(run *flow.Run, in args) (result, error) {
		return flow.Step(run, "wait", func(ctx context.Context) (result, error) {
			select {
			case <-gate:
				return result(in), nil
			case <-ctx.Done():
				return result{}, ctx.Err()
			}
		})
	})
	w.work(def)
	h, err := flow.Start(within(t), w.client, def, "a", args{"x"})
	if err != nil {
		t.Fatal(err)
	}
	if s, err := w.client.Get(within(t), "slow", "a"); err != nil || s.Status != flow.Pending {
		t.Errorf("an instance in its first step: %+v, %v", s, err)
	}
	outs := make(chan result, 3)
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			out, err := h.Result(within(t))
			if err != nil {
				t.Error(err)
			}
			outs <- out
		})
	}
	close(gate)
	wg.Wait()
	for range 3 {
		if out := <-outs; out.Text != "x" {
			t.Errorf("got %+v", out)
		}
	}
	if _, err := flow.Result[result](within(t), w.client, "slow", "nobody"); !errors.Is(err, flow.ErrNotFound) {
		t.Errorf("result of an unknown id: %v", err)
	}
}

var errTaken = contract.NewError(contract.Conflict, "taken", "it is taken")

func TestARefusalCompensatesInReverse(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var effects book
	undo := func(run *flow.Run, name string) {
		flow.Compensate(run, name, func(context.Context) error {
			effects.note(name, run.Key(name))
			return nil
		})
	}
	def := flow.Define("saga", 1, func(run *flow.Run, in args) (result, error) {
		undo(run, "undo1")
		if _, err := flow.Step(run, "do1", func(context.Context) (int, error) { effects.note("do1", ""); return 1, nil }); err != nil {
			return result{}, err
		}
		undo(run, "undo2")
		_, err := flow.Step(run, "do2", func(context.Context) (int, error) {
			effects.note("do2", "")
			return 0, fmt.Errorf("asking: %w", errTaken)
		})
		return result{}, err
	})
	w.work(def)
	_, err := flow.Do(within(t), w.client, def, "a", args{})
	if !errors.Is(err, errTaken) {
		t.Errorf("got %v, want the refusal", err)
	}
	if got := fmt.Sprint(effects.names()); got != "[do1 do2 undo2 undo1]" {
		t.Errorf("calls %s", got)
	}
	s := w.state("saga", "a", flow.Failed)
	if len(s.Steps) != 4 || s.Steps[3].Kind != "undo" || !errors.Is(s.Steps[1].Err, errTaken) || !errors.Is(s.Err, errTaken) {
		t.Errorf("state %+v", s)
	}
}

func TestAnOrdinaryErrorIsTriedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var tries atomic.Int64
	var keys sync.Map
	def := flow.Define("flaky", 1, func(run *flow.Run, in args) (result, error) {
		return flow.Step(run, "call", func(ctx context.Context) (result, error) {
			keys.Store(run.Key("call"), true)
			switch tries.Add(1) {
			case 1:
				return result{}, errors.New("no connection")
			case 2:
				<-ctx.Done() // never answers
				return result{}, ctx.Err()
			case 3:
				panic("a defect that passes")
			}
			return result(in), nil
		}, flow.WithTimeout(20e6), flow.WithRetry(flow.Retry{First: 1e6, Max: 2e6}))
	})
	w.work(def)
	out, err := flow.Do(within(t), w.client, def, "a", args{"x"})
	if err != nil || out.Text != "x" || tries.Load() != 4 {
		t.Errorf("got %+v, %v after %d tries", out, err, tries.Load())
	}
	s := w.state("flaky", "a", flow.Completed)
	if len(s.Steps) != 1 || s.Steps[0].Attempts != 4 {
		t.Errorf("state %+v", s)
	}
	n := 0
	keys.Range(func(any, any) bool { n++; return true })
	if n != 1 {
		t.Errorf("the attempts had %d keys", n)
	}
}

func TestAttemptsRunOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	def := flow.Define("limited", 1, func(run *flow.Run, in args) (result, error) {
		_, err := flow.Step(run, "call", func(context.Context) (int, error) {
			return 0, errors.New("no connection")
		}, flow.WithRetry(flow.Retry{First: 1e6, Attempts: 3}))
		if !errors.Is(err, flow.ErrStepFailed) {
			return result{}, fmt.Errorf("unexpected: %w", err)
		}
		return flow.Step(run, "other-way", func(context.Context) (result, error) { return result(in), nil })
	})
	w.work(def)
	if out, err := flow.Do(within(t), w.client, def, "a", args{"x"}); err != nil || out.Text != "x" {
		t.Errorf("got %+v, %v", out, err)
	}
	if s := w.state("limited", "a", flow.Completed); s.Steps[0].Attempts != 3 || s.Steps[0].Last != "no connection" {
		t.Errorf("state %+v", s)
	}
}

func TestPollutedInputsFailWithTheirField(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var effects book
	strict := steps("typed", 1, &effects)
	loose := flow.Declare[map[string]any, result]("typed", 1)
	w.work(strict)
	_, err := flow.Do(within(t), w.client, loose, "a", map[string]any{"text": 7})
	if e := contract.AsError(err); e.Code != contract.Invalid || e.Field != "/text" {
		t.Errorf("got %v", err)
	}
	w.state("typed", "a", flow.Failed)
}
