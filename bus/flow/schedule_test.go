package flow_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/flow"
	"github.com/ordermesh/ordermesh/bus/flow/flowtest"
)

// started lists the instances of a flow that a schedule has started.
func (w *world) started(name string) []flow.State {
	w.t.Helper()
	list, err := w.client.List(within(w.t), flow.Query{Flow: name})
	if err != nil {
		w.t.Fatal(err)
	}
	return list
}

func TestAScheduleStartsFlowsAndCanBeChanged(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tick := flow.Define("tick", 1, func(_ *flow.Run, in args) (result, error) { return result(in), nil })
	conn := w.broker.Dial(t, bustest.WithService(service))
	hourly := start(t, conn, []flow.Registered{tick}, flow.WithSchedules(flow.Cron("beat", "@hourly", tick, args{"slow"}, flow.Skip)))
	w.state("schedule", "beat", flow.Waiting)
	hourly.stop()
	// Another build has another idea of it.
	conn = w.broker.Dial(t, bustest.WithService(service))
	w2 := start(t, conn, []flow.Registered{tick}, flow.WithSchedules(flow.Every("beat", time.Second, tick, args{"fast"}, flow.Skip)))
	defer w2.stop()
	bustest.Eventually(t, patience, func() bool { return len(w.started("tick")) >= 2 }, "the schedule to start two flows")
	for _, s := range w.started("tick") {
		if !strings.HasPrefix(s.ID, "beat-2") || s.Status == flow.Failed {
			t.Errorf("%s is %s", s.ID, s.Status)
		}
	}
}

func TestOverlapPolicies(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	busy := func(name string) flow.Definition[args, result] {
		return flow.Define(name, 1, func(run *flow.Run, _ args) (result, error) {
			return flow.Await[result](run, "finish", 0)
		})
	}
	skip, queue, cancelled, together := busy("skip"), busy("queue"), busy("cancel"), busy("together")
	conn := w.broker.Dial(t, bustest.WithService(service))
	start(t, conn, []flow.Registered{skip, queue, cancelled, together}, flow.WithSchedules(
		flow.Every("s", time.Second, skip, args{}, flow.Skip),
		flow.Every("q", time.Second, queue, args{}, flow.Queue),
		flow.Every("c", time.Second, cancelled, args{}, flow.CancelLast),
		flow.Every("t", time.Second, together, args{}, flow.Together),
	))
	bustest.Eventually(t, patience, func() bool { return len(w.started("together")) >= 3 }, "three flows together")
	if n := len(w.started("skip")); n != 1 {
		t.Errorf("%d flows run with skip", n)
	}
	if n := len(w.started("queue")); n != 1 {
		t.Errorf("%d flows run with queue", n)
	}
	ended := 0
	for _, s := range w.started("cancel") {
		if s.Status == flow.Cancelled {
			ended++
		}
	}
	if n := len(w.started("cancel")); n < 2 || ended == 0 {
		t.Errorf("%d flows with cancel, %d of them cancelled", n, ended)
	}
	first := w.started("queue")[0].ID
	if err := w.client.Signal(within(t), "queue", first, "finish", "1", result{"done"}); err != nil {
		t.Fatal(err)
	}
	bustest.Eventually(t, patience, func() bool { return len(w.started("queue")) == 2 }, "the queued flow to start")
}

func TestSchedulesThatCannotBe(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tick := flow.Define("tick", 1, func(_ *flow.Run, in args) (result, error) { return result(in), nil })
	other := flow.Define("other", 1, func(_ *flow.Run, in args) (result, error) { return result(in), nil })
	for name, s := range map[string]flow.Schedule{
		"61 * * * *": flow.Cron("a", "61 * * * *", tick, args{}, flow.Skip),
		"february":   flow.Cron("a", "0 0 31 2 *", tick, args{}, flow.Skip),
		"period":     flow.Every("a", time.Millisecond, tick, args{}, flow.Skip),
		"overlap":    flow.Every("a", time.Minute, tick, args{}, "maybe"),
		"name":       flow.Every("a.b", time.Minute, tick, args{}, flow.Skip),
		"long name":  flow.Every(strings.Repeat("x", 50), time.Minute, tick, args{}, flow.Skip), // its flows have longer ids
		"not here":   flow.Every("a", time.Minute, other, args{}, flow.Skip),
	} {
		conn := w.broker.Dial(t, bustest.WithService(service))
		if _, err := flow.NewWorker(conn, service, []flow.Registered{tick}, flow.WithSchedules(s)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// Times that passed while nobody was there are made up for by one start.
func TestMissedTimesAreOneStart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tick := flow.Define("tick", 1, func(run *flow.Run, _ args) (result, error) {
		return flow.Step(run, "note", func(context.Context) (result, error) { return result{}, nil })
	})
	every := flow.WithSchedules(flow.Every("beat", time.Second, tick, args{}, flow.Together))
	first := start(t, w.broker.Dial(t, bustest.WithService(service)), []flow.Registered{tick}, every)
	bustest.Eventually(t, patience, func() bool { return len(w.started("tick")) == 1 }, "the first start")
	first.stop()
	before := len(w.started("tick"))
	gap := time.NewTimer(3500 * time.Millisecond) // the time that is missed
	<-gap.C
	second := start(t, w.broker.Dial(t, bustest.WithService(service)), []flow.Registered{tick}, every)
	defer second.stop()
	bustest.Eventually(t, patience, func() bool { return len(w.started("tick")) > before }, "a start after the gap")
	if got := len(w.started("tick")); got > before+2 {
		t.Errorf("%d starts made up for the gap", got-before)
	}
}

// Wherever the process of a schedule dies, each time starts one flow.
func TestAScheduleStartsOnceWhereverItCrashes(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var ran map[string]int
	tick := func() flow.Definition[args, result] {
		return flow.Define("tick", 1, func(run *flow.Run, _ args) (result, error) {
			return flow.Step(run, "note", func(context.Context) (result, error) {
				mu.Lock()
				defer mu.Unlock()
				ran[run.ID()]++
				return result{}, nil
			}, flow.WithDurable())
		})
	}
	for _, overlap := range []flow.Overlap{flow.Skip, flow.Queue, flow.CancelLast, flow.Together} {
		plan := flow.PlanOf(flow.Cron("beat", "@hourly", tick(), args{}, overlap))
		flowtest.CrashEverywhere(t, func() flow.Definition[flow.Plan, flow.None] {
			ran = map[string]int{}
			return flow.Scheduling
		}, plan, func(t *testing.T, o flowtest.Outcome[flow.None]) {
			if o.Status != flow.Cancelled || len(ran) != 3 {
				t.Errorf("%s: the schedule is %s and has started %v", overlap, o.Status, ran)
			}
		}, flowtest.With(func() []flow.Registered { return []flow.Registered{tick()} }), flowtest.CancelAt(200*time.Minute, "enough"))
	}
}
