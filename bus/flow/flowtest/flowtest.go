// Package flowtest runs flows in memory and crashes them where a crash can hurt: at
// every journal record.
//
// It is for the tests of services that define flows. It runs the engine that workers
// run, over a [Log] in memory; what it leaves out are the server, partitions and
// ownership, which bus/flow tests itself.
//
// It promises that a flow which passes ends with the same result wherever the process
// dies, as long as its steps do what they should: the effects of repeated attempts are
// counted by the caller, by the keys that they carry.
package flowtest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/flow"
)

// pairs is up to how many appends a flow is crashed at every pair of them, unless
// [AllPairs] says that any number will do.
const pairs = 10

// Outcome is how a run of a flow ended.
type Outcome[Out any] struct {
	Status  flow.Status
	Out     Out    // when completed
	Err     error  // when not
	Reason  string // of a stuck or cancelled flow
	Crashes string // where it crashed on the way, "" for the undisturbed run
	Steps   []flow.StepState
}

// CrashEverywhere runs the flow once undisturbed and then once for every append of
// its journal and both sides of it: the process dies just before the message is
// stored, or just after. Short flows die a second time at each later point. Every run
// must end with the same status, result and error as the undisturbed one.
//
// define is called for each run and returns the flow over fresh dependencies; check
// is called after each run and counts effects. Both run in a synctest bubble with
// virtual time: pauses, timers and deadlines take none, and steps must not wait for
// anything outside.
func CrashEverywhere[In, Out any](t *testing.T, define func() flow.Definition[In, Out], in In, check func(t *testing.T, o Outcome[Out]), opts ...Option) {
	t.Helper()
	var o options
	for _, opt := range opts {
		opt(&o)
	}
	var want Outcome[Out]
	appends := 0
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, define(), in, o)
		want = finish[Out](t, s, "")
		appends = s.log.Appends()
		check(t, want)
	})
	if t.Failed() {
		t.Fatal("the undisturbed run failed")
	}
	for _, plan := range plans(appends, o.allPairs || appends <= pairs) {
		synctest.Test(t, func(t *testing.T) {
			got := crash[Out](t, newStage(t, define(), in, o), plan)
			compare(t, want, got)
			check(t, got)
			if t.Failed() {
				t.Errorf("the run was %s", got.Crashes)
			}
		})
	}
}

// Run runs a flow once in virtual time and returns how it ended.
func Run[In, Out any](t *testing.T, def flow.Definition[In, Out], in In, opts ...Option) Outcome[Out] {
	t.Helper()
	var o options
	for _, opt := range opts {
		opt(&o)
	}
	var out Outcome[Out]
	synctest.Test(t, func(t *testing.T) { out = finish[Out](t, newStage(t, def, in, o), "") })
	return out
}

// Option adds to what surrounds the flow.
type Option func(*options)

type options struct {
	with   func() []flow.Registered
	script []cue

	allPairs bool
	late     time.Duration
}

// cue is something that comes from outside at a time.
type cue struct {
	after time.Duration
	act   func(r flow.Rehearsal) error
}

// AllPairs crashes also a long flow at every pair of its appends: their number grows
// with the square of the flow's length.
func AllPairs() Option { return func(o *options) { o.allPairs = true } }

// With adds definitions, such as those of children. It is called for each run.
func With(others func() []flow.Registered) Option {
	return func(o *options) { o.with = others }
}

// SignalAt sends the flow a signal when so much virtual time has passed since its
// start, whether its process lives then or not.
func SignalAt(after time.Duration, signal, id string, v any) Option {
	return func(o *options) {
		o.script = append(o.script, cue{after, func(r flow.Rehearsal) error { return r.Signal(signal, id, v) }})
	}
}

// CancelAt cancels the flow when so much virtual time has passed since its start.
func CancelAt(after time.Duration, reason string) Option {
	return func(o *options) {
		o.script = append(o.script, cue{after, func(r flow.Rehearsal) error { return r.Cancel(reason) }})
	}
}

// AlarmsLate makes the timers of the server late by so much, as one that is busy or has
// lost its leader; a quarter of a second is usual.
func AlarmsLate(by time.Duration) Option { return func(o *options) { o.late = by } }

// stage is a flow with everything around it.
type stage struct {
	flow.Rehearsal
	log *Log
}

// newStage sets a flow up and starts the clock of its script.
func newStage[In, Out any](t *testing.T, def flow.Definition[In, Out], in In, o options) stage {
	t.Helper()
	log := NewLog()
	if o.late > 0 {
		log.late = o.late
	}
	s := stage{flow.Rehearsal{Flow: def, ID: "test", Input: in, Log: log, Alive: log.Alive}, log}
	if o.with != nil {
		s.With = o.with()
	}
	for _, c := range o.script {
		time.AfterFunc(c.after, func() {
			if err := c.act(s.Rehearsal); err != nil {
				t.Error(err)
			}
		})
	}
	return s
}

// crashAt is one crash: at the n-th journal append of its process.
type crashAt struct {
	n     int
	fault Fault
}

func (c crashAt) String() string {
	if c.fault == CrashBefore {
		return fmt.Sprintf("crashed before append %d was stored", c.n)
	}
	return fmt.Sprintf("crashed after append %d was stored", c.n)
}

// plans lists every single crash and, for short flows, every pair.
func plans(appends int, twice bool) [][]crashAt {
	var list [][]crashAt
	points := func(f func(c crashAt)) {
		for n := 1; n <= appends; n++ {
			f(crashAt{n, CrashBefore})
			f(crashAt{n, CrashAfter})
		}
	}
	points(func(first crashAt) {
		list = append(list, []crashAt{first})
		if twice {
			points(func(second crashAt) { list = append(list, []crashAt{first, second}) })
		}
	})
	return list
}

// crash runs the flow through the planned crashes to its end.
func crash[Out any](t *testing.T, s stage, plan []crashAt) Outcome[Out] {
	t.Helper()
	var crashes []string
	for _, c := range plan {
		s.log.Fail(c.n, c.fault)
		_, ended, err := rehearse(t, s)
		if err != nil {
			t.Fatal(err)
		}
		if ended && s.log.Alive() {
			break // it was shorter than the plan
		}
		crashes = append(crashes, c.String())
		s.log.Revive()
	}
	return finish[Out](t, s, strings.Join(crashes, ", then "))
}

func rehearse(t *testing.T, s stage) (flow.State, bool, error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s.log.onDeath(cancel)
	return s.Run(ctx)
}

// finish runs the flow to its end without further faults.
func finish[Out any](t *testing.T, s stage, crashes string) Outcome[Out] {
	t.Helper()
	state, ended, err := rehearse(t, s)
	if err != nil {
		t.Fatal(err)
	}
	if !ended {
		t.Fatalf("the flow did not end: %s", crashes)
	}
	o := Outcome[Out]{Status: state.Status, Err: state.Err, Reason: state.Reason, Steps: state.Steps, Crashes: "undisturbed"}
	if crashes != "" {
		o.Crashes = crashes
	}
	if state.Status == flow.Completed {
		if o.Out, err = flow.ResultOf[Out](state); err != nil {
			t.Fatal(err)
		}
	}
	return o
}

// compare reports how a run differs from the undisturbed one.
func compare[Out any](t *testing.T, want, got Outcome[Out]) {
	t.Helper()
	if got.Status != want.Status {
		t.Errorf("the flow ended %s (%v, %s), undisturbed it ends %s", got.Status, got.Err, got.Reason, want.Status)
	}
	if !errors.Is(got.Err, want.Err) && (want.Err != nil || got.Err != nil) {
		t.Errorf("the error is %v, undisturbed it is %v", got.Err, want.Err)
	}
	if a, b := text(got.Out), text(want.Out); a != b {
		t.Errorf("the result is %s, undisturbed it is %s", a, b)
	}
}

func text(v any) string {
	raw, err := contract.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(raw)
}
