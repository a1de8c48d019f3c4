package flow_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/flow"
)

// unacknowledged is how many inputs the workers of the service hold.
func (w *world) unacknowledged() int {
	w.t.Helper()
	js := w.broker.Dial(w.t, bustest.WithService("onlooker")).JetStream()
	n := 0
	for p := range 16 {
		consumer, err := js.Consumer(within(w.t), contract.FlowStream, fmt.Sprint(service, "-", p))
		if err != nil {
			w.t.Fatal(err)
		}
		n += consumer.CachedInfo().NumAckPending
	}
	return n
}

// A pause of seconds between two attempts holds no input: the consumers go on with
// others, however many steps wait for a dependency that is down. The attempts are
// remembered wherever the flow wakes up.
func TestALongPauseHoldsNoInput(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var effects book
	def := flow.Define("patient", 1, func(run *flow.Run, in args) (result, error) {
		return flow.Step(run, "call", func(context.Context) (result, error) {
			effects.note(run.ID(), run.Key("call"))
			if effects.count(run.ID()) < 3 {
				return result{}, errors.New("it is down")
			}
			return result(in), nil
		}, flow.WithRetry(flow.Retry{First: 3 * time.Second, Max: 3 * time.Second}))
	})
	first := w.work(def)
	const flows = 50
	var handles []*flow.Handle[result]
	for i := range flows {
		h, err := flow.Start(within(t), w.client, def, fmt.Sprint("a", i), args{"x"})
		if err != nil {
			t.Fatal(err)
		}
		handles = append(handles, h)
	}
	bustest.Eventually(t, patience, func() bool { return len(effects.names()) == flows && w.unacknowledged() == 0 }, "the inputs to be acknowledged")
	first.stop()
	w.work(def)
	for i, h := range handles {
		if got, err := h.Result(within(t)); err != nil || got.Text != "x" {
			t.Errorf("flow %d: %+v, %v", i, got, err)
		}
		s := w.state("patient", h.ID(), flow.Completed)
		if n := effects.count(h.ID()); n != 3 || len(s.Steps) != 1 || s.Steps[0].Attempts != 3 {
			t.Errorf("flow %d: %d attempts, the journal has %+v", i, n, s.Steps)
		}
	}
	if n := w.pending("flow." + service + ".timer.>"); n != 0 {
		t.Errorf("%d schedules are left behind", n)
	}
}
