package flow_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/flow"
)

// A take-over has everything delivered again since the oldest input that is not
// acknowledged, also what was: however many signals those are, none counts twice.
func TestATakeOverDeliversOldSignalsAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const words = 300
	counter := flow.Define("counter", 1, func(run *flow.Run, _ args) (int, error) {
		for n := 0; ; n++ {
			word, err := flow.Await[string](run, "word", 0)
			if err != nil || word == "last" {
				return n, err
			}
		}
	})
	holder := flow.Define("holder", 1, func(run *flow.Run, _ args) (int, error) {
		return flow.Step(run, "hold", func(ctx context.Context) (int, error) { <-ctx.Done(); return 0, ctx.Err() })
	})
	first := w.work(counter, holder)
	for i := range 64 { // so that each partition has one
		if _, err := flow.Start(within(t), w.client, holder, fmt.Sprint(i), args{}); err != nil {
			t.Fatal(err)
		}
	}
	h, err := flow.Start(within(t), w.client, counter, "a", args{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range words {
		if err := w.client.Signal(within(t), "counter", "a", "word", fmt.Sprint(i), "word"); err != nil {
			t.Fatal(err)
		}
		if i%100 == 0 {
			w.state("counter", "a", flow.Waiting)
		}
	}
	w.state("counter", "a", flow.Waiting)
	first.crash()
	w.work(counter, holder)
	if err := w.client.Signal(within(t), "counter", "a", "word", "last", "last"); err != nil {
		t.Fatal(err)
	}
	if n, err := h.Result(within(t)); err != nil || n != words {
		t.Errorf("%d signals were taken, %d were sent: %v", n, words, err)
	}
}

// A function that does nothing but continue lets its worker go.
func TestAFunctionThatOnlyContinuesLetsItsWorkerGo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	def := flow.Define("wheel", 1, func(run *flow.Run, in int) (int, error) {
		return flow.ContinueAsNew[int](run, in+1)
	})
	worker := w.work(def)
	if _, err := flow.Start(within(t), w.client, def, "a", 1); err != nil {
		t.Fatal(err)
	}
	bustest.Eventually(t, patience, func() bool {
		s, err := w.client.Get(within(t), "wheel", "a")
		return err == nil && s.Generation > 10
	}, "ten generations")
	worker.stop()
}
