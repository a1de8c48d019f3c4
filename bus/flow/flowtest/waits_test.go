package flowtest_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ordermesh/ordermesh/bus/flow"
	"github.com/ordermesh/ordermesh/bus/flow/flowtest"
)

// A record that fills a page and the letter that is taken after it go into different
// messages: a crash between the two must not lose the letter.
func TestALetterIsNotTornFromItsRecord(t *testing.T) {
	t.Parallel()
	flowtest.CrashEverywhere(t, func() flow.Definition[int, []string] {
		return flow.Define("pages", 1, func(run *flow.Run, _ int) ([]string, error) {
			if err := run.Sleep("until_they_are_there", time.Minute); err != nil {
				return nil, err
			}
			var got []string
			for i := range 3 {
				if _, err := flow.Step(run, fmt.Sprint("large", i), func(context.Context) (string, error) {
					return strings.Repeat("x", 9<<10), nil
				}); err != nil {
					return nil, err
				}
				word, err := flow.Await[string](run, "word", time.Hour)
				if err != nil {
					return nil, err
				}
				got = append(got, word)
			}
			return got, nil
		})
	}, 1, func(t *testing.T, o flowtest.Outcome[[]string]) {
		if o.Status != flow.Completed || fmt.Sprint(o.Out) != "[one two three]" {
			t.Errorf("%s with %v, %v", o.Status, o.Out, o.Err)
		}
	}, flowtest.SignalAt(time.Second, "word", "1", "one"), flowtest.SignalAt(2*time.Second, "word", "2", "two"),
		flowtest.SignalAt(3*time.Second, "word", "3", "three"))
}

// Timers of a server can be so late that a wait is over before its alarm has gone off.
// The alarm is then the one thing that wakes the flow after a crash: it must not be
// removed before something else does.
func TestALateAlarmIsNotRemovedTooSoon(t *testing.T) {
	t.Parallel()
	var l *ledger
	flowtest.CrashEverywhere(t, func() flow.Definition[int, string] {
		l = &ledger{keys: map[string]int{}}
		return flow.Define("late", 1, func(run *flow.Run, _ int) (string, error) {
			for i := range 3 {
				if err := run.Sleep(fmt.Sprint("nap", i), 5*time.Second); err != nil {
					return "", err
				}
			}
			return flow.Step(run, "end", func(context.Context) (string, error) { l.effect("end", run.Key("end")); return "done", nil })
		})
	}, 1, func(t *testing.T, o flowtest.Outcome[string]) {
		if o.Status != flow.Completed || fmt.Sprint(l.order) != "[end]" {
			t.Errorf("%s, %v, effects %v", o.Status, o.Err, l.order)
		}
	}, flowtest.AlarmsLate(2*time.Second))
}

// The same for a child: its parent has to hear of its end.
func TestAParentHearsOfAChildWithALateAlarm(t *testing.T) {
	t.Parallel()
	var child flow.Definition[int, string]
	flowtest.CrashEverywhere(t, func() flow.Definition[int, string] {
		child = flow.Define("kid", 1, func(run *flow.Run, _ int) (string, error) {
			return "slept", run.Sleep("nap", 5*time.Second)
		})
		return flow.Define("parent", 1, func(run *flow.Run, in int) (string, error) {
			c, err := flow.StartChild(run, child, "kid", in)
			if err != nil {
				return "", err
			}
			return c.Await()
		})
	}, 1, func(t *testing.T, o flowtest.Outcome[string]) {
		if o.Status != flow.Completed || o.Out != "slept" {
			t.Errorf("%s, %v", o.Status, o.Err)
		}
	}, flowtest.With(func() []flow.Registered { return []flow.Registered{child} }), flowtest.AlarmsLate(2*time.Second))
}

// A server whose clock is ahead wakes flows too early: they are not woken again and
// again until the time has come.
func TestAServerWhoseClockIsAhead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := flowtest.NewLog()
		log.Ahead(10 * time.Minute)
		def := flow.Define("sleeper", 1, func(run *flow.Run, _ int) (time.Time, error) {
			err := run.Sleep("hour", time.Hour)
			return run.Now(), err
		})
		begun := time.Now()
		state, _, err := flow.Rehearsal{Flow: def, ID: "x", Input: 1, Log: log}.Run(t.Context())
		if err != nil || state.Status != flow.Completed || time.Since(begun) < time.Hour {
			t.Errorf("%s after %v, %v", state.Status, time.Since(begun), err)
		}
		if n := log.Schedules(); n > 3 {
			t.Errorf("%d alarms were set for one wait", n)
		}
	})
}

// A worker whose clock is ahead of the server's sets its alarms by the server's: whoever has
// the flow when it is to wake is woken in time.
func TestAWorkerWhoseClockIsAhead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := flowtest.NewLog()
		log.Ahead(-time.Hour)
		def := flow.Define("sleeper", 1, func(run *flow.Run, _ int) (time.Time, error) {
			err := run.Sleep("nap", time.Minute)
			return run.Now(), err
		})
		begun := time.Now()
		state, _, err := flow.Rehearsal{Flow: def, ID: "x", Input: 1, Log: log}.Run(t.Context())
		if took := time.Since(begun); err != nil || state.Status != flow.Completed || took < time.Minute || took > 2*time.Minute {
			t.Errorf("%s %s after %v, %v", state.Status, state.Reason, took, err)
		}
		if n := log.Schedules(); n > 3 {
			t.Errorf("%d alarms were set for one wait", n)
		}
	})
}

// Letters that nobody asks for do not keep a flow from what it waits for.
func TestAFullMailboxLetsThroughWhatIsWanted(t *testing.T) {
	t.Parallel()
	opts := []flowtest.Option{flowtest.SignalAt(time.Hour, "approve", "1", "granted")}
	for i := range 300 {
		opts = append(opts, flowtest.SignalAt(time.Minute, "junk", fmt.Sprint(i), "x"))
	}
	def := flow.Define("choosy", 1, func(run *flow.Run, _ int) (string, error) {
		return flow.Await[string](run, "approve", 24*time.Hour)
	})
	if o := flowtest.Run(t, def, 1, opts...); o.Status != flow.Completed || o.Out != "granted" {
		t.Errorf("%s, %v", o.Status, o.Err)
	}
}

// Each generation hears of the children that it starts, also of one that a former
// generation started; outcomes that nobody can ask for any more are not kept.
func TestGenerationsAndTheirChildren(t *testing.T) {
	t.Parallel()
	var child flow.Definition[int, string]
	flowtest.CrashEverywhere(t, func() flow.Definition[int, int] {
		child = flow.Define("kid", 1, func(run *flow.Run, in int) (string, error) {
			return "slept", run.Sleep("nap", 5*time.Second)
		})
		return flow.Define("parent", 1, func(run *flow.Run, in int) (int, error) {
			if _, err := flow.StartChild(run, child, fmt.Sprint("kid", in), in); err != nil {
				return 0, err
			}
			c, err := flow.StartChild(run, child, "kid", 1)
			if err != nil {
				return 0, err
			}
			for range 2 {
				if said, err := c.Await(); err != nil || said != "slept" {
					return 0, err
				}
			}
			if in < 3 {
				return flow.ContinueAsNew[int](run, in+1)
			}
			return in, run.Sleep("end", time.Minute)
		})
	}, 1, func(t *testing.T, o flowtest.Outcome[int]) {
		if o.Status != flow.Completed || o.Out != 3 {
			t.Errorf("%s with %d, %v", o.Status, o.Out, o.Err)
		}
	}, flowtest.With(func() []flow.Registered { return []flow.Registered{child} }))
}

// A flow that may not have a child, because its id is somebody else's, does not cancel
// it either.
func TestAStrangersChildIsNotCancelled(t *testing.T) {
	t.Parallel()
	child := flow.Define("kid", 1, func(run *flow.Run, in int) (string, error) {
		return "slept", run.Sleep("nap", time.Hour)
	})
	other := flow.Define("other", 1, func(run *flow.Run, in int) (string, error) {
		_, err := flow.StartChild(run, child, "kid", in+1)
		return "", err
	})
	parent := flow.Define("parent", 1, func(run *flow.Run, in int) (string, error) {
		c, err := flow.StartChild(run, child, "kid", in)
		if err != nil {
			return "", err
		}
		o, err := flow.StartChild(run, other, "other", in)
		if err != nil {
			return "", err
		}
		if _, err := o.Await(); !errors.Is(err, flow.ErrOtherInput) {
			return "", fmt.Errorf("the other one: %w", err)
		}
		return c.Await()
	})
	if o := flowtest.Run(t, parent, 1, flowtest.With(func() []flow.Registered { return []flow.Registered{child, other} })); o.Out != "slept" {
		t.Errorf("%s, %v", o.Status, o.Err)
	}
}
