package flow_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/flow"
)

// gated is a flow that stands in its first step until the gate opens.
func gated(effects *book, reached chan<- struct{}, gate <-chan struct{}) flow.Definition[args, result] {
	return flow.Define("gated", 1, func(run *flow.Run, in args) (result, error) {
		flow.Compensate(run, "undo", func(context.Context) error { effects.note("undo", ""); return nil })
		_, err := flow.Step(run, "first", func(ctx context.Context) (int, error) {
			effects.note("first", run.Key("first"))
			reached <- struct{}{}
			select {
			case <-gate:
				return 1, nil
			case <-ctx.Done():
				return 0, ctx.Err()
			}
		})
		if err != nil {
			return result{}, err
		}
		for i := range 100_000 { // until the cancel has come
			if _, err := flow.Step(run, fmt.Sprint("more", i), func(ctx context.Context) (int, error) {
				return i, pause(ctx, time.Millisecond)
			}); err != nil {
				return result{}, err
			}
		}
		return result(in), nil
	})
}

func TestCancelTakesHoldAtTheNextStep(t *testing.T) {
	t.Parallel()
	bustest.Each(t, func(t *testing.T, b *bustest.Broker) {
		w := worldOn(t, b)
		var effects book
		reached, gate := make(chan struct{}, 1), make(chan struct{})
		def := gated(&effects, reached, gate)
		w.work(def)
		h, err := flow.Start(within(t), w.client, def, "a", args{})
		if err != nil {
			t.Fatal(err)
		}
		<-reached
		for range 2 { // twice is once
			if err := w.client.Cancel(within(t), "gated", "a", "no longer wanted"); err != nil {
				t.Fatal(err)
			}
		}
		close(gate)
		if _, err := h.Result(within(t)); !errors.Is(err, flow.ErrCancelled) {
			t.Errorf("got %v, want ErrCancelled", err)
		}
		s := w.state("gated", "a", flow.Cancelled)
		if got := fmt.Sprint(effects.names()); got != "[first undo]" || s.Reason != "no longer wanted" {
			t.Errorf("calls %s, state %+v", got, s)
		}
		if n := len(s.Steps); n < 3 || s.Steps[n-2].Kind != "cancel" || s.Steps[n-1].Kind != "undo" {
			t.Errorf("steps %+v", s.Steps)
		}
		if err := w.client.Cancel(within(t), "gated", "a", ""); !errors.Is(err, flow.ErrEnded) {
			t.Errorf("cancel of an ended flow: %v", err)
		}
		if err := w.client.Cancel(within(t), "gated", "nobody", ""); !errors.Is(err, flow.ErrNotFound) {
			t.Errorf("cancel of an unknown flow: %v", err)
		}
	}, bustest.WithStreams(streams()...))
}

func TestCancelEndsARetry(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tried := make(chan struct{}, 100)
	def := flow.Define("retrying", 1, func(run *flow.Run, _ args) (result, error) {
		return flow.Step(run, "call", func(context.Context) (result, error) {
			tried <- struct{}{}
			return result{}, errors.New("no connection")
		}, flow.WithRetry(flow.Retry{First: patience, Max: patience}))
	})
	w.work(def)
	if _, err := flow.Start(within(t), w.client, def, "a", args{}); err != nil {
		t.Fatal(err)
	}
	<-tried
	s := w.state("retrying", "a", flow.Running)
	if len(s.Steps) != 1 || s.Steps[0].Done || s.Steps[0].Attempts != 1 || s.Steps[0].Last != "no connection" || s.Steps[0].Due.IsZero() {
		t.Errorf("a step that waits for its next attempt: %+v", s.Steps)
	}
	if err := w.client.Cancel(within(t), "retrying", "a", "enough"); err != nil {
		t.Fatal(err)
	}
	w.state("retrying", "a", flow.Cancelled)
}

func TestCompensationsGoOnUntilTheySucceed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var effects book
	def := flow.Define("undoing", 1, func(run *flow.Run, _ args) (result, error) {
		flow.Compensate(run, "undo", func(context.Context) error {
			effects.note("undo", run.Key("undo"))
			if effects.count("undo") < 4 {
				return errors.New("no connection")
			}
			return nil
		}, flow.WithRetry(flow.Retry{First: 1e6, Max: 2e6}))
		return flow.Step(run, "call", func(context.Context) (result, error) {
			if err := w.client.Cancel(within(t), "undoing", "a", ""); err != nil {
				return result{}, err
			}
			return result{}, errTaken
		})
	})
	w.work(def)
	if _, err := flow.Do(within(t), w.client, def, "a", args{}); !errors.Is(err, errTaken) {
		t.Errorf("got %v: a refusal that came before the cancel was observed decides", err)
	}
	if n := effects.count("undo"); n != 4 || len(effects.effects) != 1 {
		t.Errorf("%d attempts with %d keys", n, len(effects.effects))
	}
}

// A flow that gets stuck while a cancel waits for its next step must not forget it:
// the cancel was promised to whoever asked for it.
func TestACancelOutlivesGettingStuck(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var effects book
	reached, gate := make(chan struct{}), make(chan struct{})
	def := flow.Define("doubtful", 1, func(run *flow.Run, in args) (result, error) {
		flow.Compensate(run, "undo", func(context.Context) error { effects.note("undo", ""); return nil })
		if _, err := flow.Step(run, "once", func(context.Context) (int, error) {
			close(reached)
			<-gate
			return 0, errors.New("cut off")
		}, flow.WithAtMostOnce()); err != nil {
			return result{}, err
		}
		return result(in), nil
	})
	worker := w.work(def)
	if _, err := flow.Start(within(t), w.client, def, "a", args{"x"}); err != nil {
		t.Fatal(err)
	}
	<-reached
	if err := w.client.Cancel(within(t), "doubtful", "a", "changed my mind"); err != nil {
		t.Fatal(err)
	}
	stream, err := worker.conn.JetStream().Stream(within(t), contract.FlowStream)
	if err != nil {
		t.Fatal(err)
	}
	bustest.Eventually(t, patience, func() bool { // the worker has both inputs
		held := 0
		for info := range stream.ListConsumers(within(t)).Info() {
			held += info.NumAckPending
		}
		return held == 2
	}, "the cancel to be delivered")
	close(gate)
	if s := w.state("doubtful", "a", flow.Cancelled); !strings.Contains(s.Reason, "changed my mind") {
		t.Errorf("reason %q", s.Reason)
	}
	if n := effects.count("undo"); n != 1 {
		t.Errorf("the compensation ran %d times", n)
	}
}
