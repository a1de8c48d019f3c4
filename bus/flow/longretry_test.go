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

// A long pause between two attempts holds no input: the consumers go on with others,
// however many steps wait for a dependency that is down. The attempts are remembered
// wherever the flow wakes up, and a cancel wakes it at once.
func TestALongPauseHoldsNoInput(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var effects book
	def := flow.Define("patient", 1, func(run *flow.Run, in args) (result, error) {
		pause := 3 * time.Second
		if in.Text == "long" {
			pause = time.Hour
		}
		return flow.Step(run, "call", func(context.Context) (result, error) {
			effects.note(run.ID(), run.Key("call"))
			if in.Text == "long" || effects.count(run.ID()) < 3 {
				return result{}, errors.New("it is down")
			}
			return result(in), nil
		}, flow.WithRetry(flow.Retry{First: pause, Max: pause}))
	})
	first := w.work(def)
	const flows = 50
	var handles []*flow.Handle[result]
	for i := range flows {
		h, err := flow.Start(within(t), w.client, def, fmt.Sprint("a", i), args{"long"})
		if err != nil {
			t.Fatal(err)
		}
		handles = append(handles, h)
	}
	bustest.Eventually(t, patience, func() bool { return len(effects.names()) == flows && w.unacknowledged() == 0 }, "the inputs to be acknowledged")
	short, err := flow.Start(within(t), w.client, def, "short", args{"short"})
	if err != nil {
		t.Fatal(err)
	}
	bustest.Eventually(t, patience, func() bool { return effects.count("short") > 0 }, "the first attempt")
	first.stop()
	w.work(def)
	if got, err := short.Result(within(t)); err != nil || got.Text != "short" || effects.count("short") != 3 {
		t.Errorf("%+v, %v after %d attempts", got, err, effects.count("short"))
	}
	for i, h := range handles {
		if err := w.client.Cancel(within(t), "patient", h.ID(), "enough"); err != nil {
			t.Fatal(err)
		}
		if _, err := h.Result(within(t)); !errors.Is(err, flow.ErrCancelled) || effects.count(h.ID()) != 1 {
			t.Errorf("flow %d: %v after %d attempts", i, err, effects.count(h.ID()))
		}
	}
	if n := w.pending("flow." + service + ".timer.>"); n != 0 {
		t.Errorf("%d schedules are left behind", n)
	}
}
