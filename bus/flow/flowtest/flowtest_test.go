package flowtest_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/flow"
	"github.com/ordermesh/ordermesh/bus/flow/flowtest"
)

type order struct {
	ID    string    `json:"id"`
	Total int       `json:"total"`
	At    time.Time `json:"at"`
}

// ledger is a far side that knows the keys it has seen.
type ledger struct {
	mu    sync.Mutex
	keys  map[string]int
	order []string
}

func (l *ledger) effect(name, key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.keys[key]++; l.keys[key] == 1 {
		l.order = append(l.order, name)
	}
}

var errDeclined = contract.NewError(contract.Unprocessable, "declined", "the card was declined")

// checkout has everything a flow can have: a clock, steps, a retry, compensations.
func checkout(l *ledger, declined bool) flow.Definition[order, order] {
	return flow.Define("checkout", 1, func(run *flow.Run, in order) (order, error) {
		in.At = run.Now()
		effect := func(name string) func(context.Context) error {
			return func(context.Context) error { l.effect(name, run.Key(name)); return nil }
		}
		flow.Compensate(run, "release", effect("release"))
		if _, err := flow.Step(run, "reserve", func(ctx context.Context) (int, error) {
			return 1, effect("reserve")(ctx)
		}); err != nil {
			return in, err
		}
		flow.Compensate(run, "void", effect("void"))
		tries := 0
		paid, err := flow.Step(run, "pay", func(ctx context.Context) (order, error) {
			if tries++; tries < 3 {
				return order{}, errors.New("no connection")
			}
			if declined {
				return order{}, errDeclined
			}
			return order{ID: in.ID, Total: in.Total + 1}, effect("pay")(ctx)
		})
		if err != nil {
			return in, err
		}
		in.Total = paid.Total
		_, err = flow.Step(run, "ship", func(ctx context.Context) (int, error) { return 1, effect("ship")(ctx) })
		return in, err
	})
}

func TestAFlowEndsTheSameWhereverItCrashes(t *testing.T) {
	t.Parallel()
	var l *ledger
	runs := 0
	flowtest.CrashEverywhere(t, func() flow.Definition[order, order] {
		l = &ledger{keys: map[string]int{}}
		return checkout(l, false)
	}, order{ID: "o1", Total: 7}, func(t *testing.T, o flowtest.Outcome[order]) {
		runs++
		if o.Status != flow.Completed || o.Out.Total != 8 {
			t.Errorf("outcome %+v", o)
		}
		if got := fmt.Sprint(l.order); got != "[reserve pay ship]" {
			t.Errorf("effects %s", got)
		}
	})
	if runs < 50 {
		t.Errorf("only %d runs: crashes are missing", runs)
	}
}

func TestAFailedFlowCompensatesTheSameWhereverItCrashes(t *testing.T) {
	t.Parallel()
	var l *ledger
	flowtest.CrashEverywhere(t, func() flow.Definition[order, order] {
		l = &ledger{keys: map[string]int{}}
		return checkout(l, true)
	}, order{ID: "o1", Total: 7}, func(t *testing.T, o flowtest.Outcome[order]) {
		if o.Status != flow.Failed || !errors.Is(o.Err, errDeclined) {
			t.Errorf("outcome %+v", o)
		}
		if got := fmt.Sprint(l.order); got != "[reserve void release]" {
			t.Errorf("effects %s", got)
		}
	})
}

// Every way in which an append can go wrong without a crash leaves no trace: no step
// is repeated and the result is the same.
func TestFaultsOfTheLogLeaveNoTrace(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]flowtest.Fault{
		"lost ack": flowtest.LostAck, "lost message": flowtest.LostMessage,
		"refused": flowtest.Refused, "no stream": flowtest.Missing,
	} {
		for n := 1; n <= 6; n++ {
			t.Run(fmt.Sprint(name, " ", n), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					log, l := flowtest.NewLog(), &ledger{keys: map[string]int{}}
					for again := range 3 { // and so do its repetitions
						log.Fail(n+again, fault)
					}
					state, ended, err := flow.Rehearsal{Flow: checkout(l, false), ID: "o1", Input: order{ID: "o1"}, Log: log}.Run(t.Context())
					if err != nil || !ended || state.Status != flow.Completed {
						t.Fatalf("ended %v, %v, state %+v", ended, err, state)
					}
					for key, n := range l.keys {
						if n != 1 {
							t.Errorf("the effect %s happened %d times", key, n)
						}
					}
				})
			})
		}
	}
}

// A flow that goes another way after a crash is not made to look well: it is parked,
// and a comparison with the undisturbed run fails.
func TestAReplayThatGoesAnotherWayIsParked(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		def := flow.Define("careless", 1, func(run *flow.Run, _ int) (int, error) {
			calls++
			if calls > 1 {
				return flow.Step(run, "another", func(context.Context) (int, error) { return 2, nil })
			}
			one, err := flow.Step(run, "one", func(context.Context) (int, error) { return 1, nil })
			if err != nil {
				return 0, err
			}
			_, err = flow.Step(run, "two", func(context.Context) (int, error) { return one, nil })
			return one, err
		})
		log := flowtest.NewLog()
		log.Fail(1, flowtest.CrashAfter)
		first := flow.Rehearsal{Flow: def, ID: "x", Input: 1, Log: log, Alive: log.Alive}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, ended, err := first.Run(ctx); ended || err != nil {
			t.Fatalf("the crash did not happen: %v, %v", ended, err)
		}
		log.Revive()
		state, _, err := first.Run(t.Context())
		if err != nil || state.Status != flow.Stuck {
			t.Errorf("state %+v, %v", state, err)
		}
	})
}

// patient has every kind of wait: a timer, a signal that comes in time, one that does
// not, and a child.
func patient(l *ledger, child flow.Definition[int, string]) flow.Definition[int, []string] {
	return flow.Define("patient", 1, func(run *flow.Run, in int) ([]string, error) {
		var story []string
		step := func(name string) error {
			_, err := flow.Step(run, name, func(context.Context) (int, error) { l.effect(name, run.Key(name)); return 1, nil })
			return err
		}
		if err := errors.Join(step("begin"), run.Sleep("night", 8*time.Hour), step("morning")); err != nil {
			return nil, err
		}
		approved, err := flow.Await[string](run, "approve", 24*time.Hour)
		if err != nil {
			return nil, err
		}
		story = append(story, approved)
		if _, err := flow.Await[string](run, "complain", time.Hour); !errors.Is(err, flow.ErrTimedOut) {
			return nil, fmt.Errorf("nobody complains: %w", err)
		}
		c, err := flow.StartChild(run, child, "kid", in)
		if err != nil {
			return nil, err
		}
		told, err := c.Await()
		if err != nil {
			return nil, err
		}
		return append(story, told, run.UUID()), step("end")
	})
}

func kid(l *ledger) flow.Definition[int, string] {
	return flow.Define("kid", 1, func(run *flow.Run, in int) (string, error) {
		if err := run.Sleep("nap", time.Minute); err != nil {
			return "", err
		}
		return flow.Step(run, "play", func(context.Context) (string, error) {
			l.effect("play", run.Key("play"))
			return fmt.Sprint("played ", in), nil
		})
	})
}

func TestWaitsEndTheSameWhereverTheProcessDies(t *testing.T) {
	t.Parallel()
	var l *ledger
	var child flow.Definition[int, string]
	runs := 0
	flowtest.CrashEverywhere(t, func() flow.Definition[int, []string] {
		l = &ledger{keys: map[string]int{}}
		child = kid(l)
		return patient(l, child)
	}, 7, func(t *testing.T, o flowtest.Outcome[[]string]) {
		runs++
		if o.Status != flow.Completed || len(o.Out) != 3 || o.Out[0] != "by ada" || o.Out[1] != "played 7" {
			t.Errorf("outcome %+v", o)
		}
		if got := fmt.Sprint(l.order); got != "[begin morning play end]" {
			t.Errorf("effects %s", got)
		}
	}, flowtest.With(func() []flow.Registered { return []flow.Registered{child} }),
		flowtest.SignalAt(time.Hour, "approve", "1", "by ada"), flowtest.SignalAt(9*time.Hour, "approve", "1", "by ada"))
	if runs < 20 {
		t.Errorf("only %d runs: crashes are missing", runs)
	}
}

func TestACancelWakesASleepingFlowWhereverItCrashes(t *testing.T) {
	t.Parallel()
	var l *ledger
	flowtest.CrashEverywhere(t, func() flow.Definition[int, string] {
		l = &ledger{keys: map[string]int{}}
		return flow.Define("sleeper", 1, func(run *flow.Run, _ int) (string, error) {
			flow.Compensate(run, "undo", func(context.Context) error { l.effect("undo", run.Key("undo")); return nil })
			return "", run.Sleep("year", 365*24*time.Hour)
		})
	}, 1, func(t *testing.T, o flowtest.Outcome[string]) {
		if o.Status != flow.Cancelled || o.Reason != "enough" || fmt.Sprint(l.order) != "[undo]" {
			t.Errorf("outcome %+v, effects %v", o, l.order)
		}
	}, flowtest.CancelAt(time.Hour, "enough"))
}

func TestADeadlineEndsAWaitWhereverItCrashes(t *testing.T) {
	t.Parallel()
	var l *ledger
	flowtest.CrashEverywhere(t, func() flow.Definition[int, string] {
		l = &ledger{keys: map[string]int{}}
		return flow.Define("late", 1, func(run *flow.Run, _ int) (string, error) {
			flow.Compensate(run, "undo", func(context.Context) error { l.effect("undo", run.Key("undo")); return nil })
			return flow.Await[string](run, "never", 0)
		}, flow.WithDeadline(time.Hour))
	}, 1, func(t *testing.T, o flowtest.Outcome[string]) {
		if o.Status != flow.Failed || !errors.Is(o.Err, flow.ErrDeadline) || fmt.Sprint(l.order) != "[undo]" {
			t.Errorf("outcome %+v, effects %v", o, l.order)
		}
	})
}

// A flow without end is continued as new; a crash between two generations loses none
// and counts none twice.
func TestGenerationsEndTheSameWhereverTheProcessDies(t *testing.T) {
	t.Parallel()
	var l *ledger
	flowtest.CrashEverywhere(t, func() flow.Definition[int, int] {
		l = &ledger{keys: map[string]int{}}
		return flow.Define("counter", 1, func(run *flow.Run, in int) (int, error) {
			n, err := flow.Step(run, "add", func(context.Context) (int, error) {
				l.effect(fmt.Sprint("add ", in), run.Key("add"))
				return in + 1, nil
			})
			if err != nil || n == 3 {
				return n, err
			}
			if err := run.Sleep("pause", time.Minute); err != nil {
				return 0, err
			}
			return flow.ContinueAsNew[int](run, n)
		})
	}, 0, func(t *testing.T, o flowtest.Outcome[int]) {
		if o.Status != flow.Completed || o.Out != 3 || fmt.Sprint(l.order) != "[add 0 add 1 add 2]" {
			t.Errorf("outcome %+v, effects %v", o, l.order)
		}
	})
}

// Large values are lost at no crash, and a repeated attempt stores the same ones.
func TestLargeValuesWhereverItCrashes(t *testing.T) {
	t.Parallel()
	const size = 257 << 10
	big := func(c string) string { return strings.Repeat(c, size) }
	flowtest.CrashEverywhere(t, func() flow.Definition[string, string] {
		return flow.Define("large", 1, func(run *flow.Run, in string) (string, error) {
			made, err := flow.Step(run, "make", func(context.Context) (string, error) { return big("m"), nil })
			if err != nil {
				return "", err
			}
			told, err := flow.Await[string](run, "tell", 0)
			return in + made + told, err
		})
	}, big("i"), func(t *testing.T, o flowtest.Outcome[string]) {
		if o.Out != big("i")+big("m")+big("t") {
			t.Errorf("%s with %d bytes", o.Status, len(o.Out))
		}
	}, flowtest.SignalAt(time.Second, "tell", "1", big("t")))
}

// parallel has branches that succeed, that fail twice and that pause for long, then a
// race, then a step with what came out.
func parallel(l *ledger, third string) flow.Definition[order, string] {
	flaky, rare := 0, 0 // of the far sides, which no crash resets
	return flow.Define("parallel", 1, func(run *flow.Run, _ order) (string, error) {
		note := func(name string) string { l.effect(name, run.Key(name)); return name }
		flow.Compensate(run, "undo", func(context.Context) error { note("undo"); return nil })
		a := flow.Parallel("a", func(context.Context) (string, error) { return note("a"), nil })
		b := flow.Parallel("b", func(context.Context) (string, error) {
			if flaky++; flaky < 3 {
				return "", errors.New("no connection")
			}
			return note("b"), nil
		})
		c := flow.Parallel("c", func(context.Context) (string, error) {
			if rare++; rare < 2 || third == "never" {
				return "", errors.New("closed at night")
			}
			if third == "refused" {
				return "", errDeclined
			}
			return note("c"), nil
		}, flow.WithRetry(flow.Retry{First: 8 * time.Hour, Max: 8 * time.Hour}))
		if err := flow.All(run, a, b, c); err != nil {
			return "", err
		}
		timed := func(name string, d time.Duration) *flow.Promise[string] {
			return flow.Parallel(name, func(ctx context.Context) (string, error) {
				select {
				case <-time.After(d):
					return note(name), nil
				case <-ctx.Done():
					return "", ctx.Err()
				}
			})
		}
		slow, quick := timed("slow", 20*time.Second), timed("quick", 10*time.Second)
		winner, err := flow.Race(run, slow, quick)
		if err != nil {
			return "", err
		}
		text := fmt.Sprint(a.Value(), b.Value(), c.Value(), winner, slow.Value(), quick.Value())
		return flow.Step(run, "end", func(context.Context) (string, error) { note("end"); return text, nil })
	})
}

func TestParallelStepsWhereverItCrashes(t *testing.T) {
	t.Parallel()
	var l *ledger
	flowtest.CrashEverywhere(t, func() flow.Definition[order, string] {
		l = &ledger{keys: map[string]int{}}
		return parallel(l, "")
	}, order{ID: "o1"}, func(t *testing.T, o flowtest.Outcome[string]) {
		if o.Status != flow.Completed || o.Out != "abc1quick" {
			t.Errorf("outcome %+v", o)
		}
		if len(l.order) != 5 {
			t.Errorf("effects %v", l.order)
		}
	})
}

func TestAFailedBranchCompensatesTheSameWhereverItCrashes(t *testing.T) {
	t.Parallel()
	var l *ledger
	flowtest.CrashEverywhere(t, func() flow.Definition[order, string] {
		l = &ledger{keys: map[string]int{}}
		return parallel(l, "refused")
	}, order{ID: "o1"}, func(t *testing.T, o flowtest.Outcome[string]) {
		if o.Status != flow.Failed || !errors.Is(o.Err, errDeclined) {
			t.Errorf("outcome %+v", o)
		}
		if len(l.order) != 3 || l.order[2] != "undo" {
			t.Errorf("effects %v", l.order)
		}
	})
}

func TestACancelledGroupWhereverItCrashes(t *testing.T) {
	t.Parallel()
	var l *ledger
	flowtest.CrashEverywhere(t, func() flow.Definition[order, string] {
		l = &ledger{keys: map[string]int{}}
		return parallel(l, "never")
	}, order{ID: "o1"}, func(t *testing.T, o flowtest.Outcome[string]) {
		if o.Status != flow.Cancelled {
			t.Errorf("outcome %+v", o)
		}
		if len(l.order) != 3 || l.order[2] != "undo" {
			t.Errorf("effects %v", l.order)
		}
	}, flowtest.CancelAt(time.Hour, "enough"))
}

// A group with other branches than the journal has is parked, whether some of them have
// an outcome or only attempts.
func TestAGroupThatChangesIsParked(t *testing.T) {
	t.Parallel()
	one := func(context.Context) (int, error) { return 1, nil }
	never := func(context.Context) (int, error) { return 0, errors.New("not now") }
	night := flow.WithRetry(flow.Retry{First: time.Hour, Max: time.Hour})
	define := func(branches ...func() flow.Branch) flow.Definition[int, int] {
		return flow.Define("changes", 1, func(run *flow.Run, _ int) (int, error) {
			var list []flow.Branch
			for _, b := range branches {
				list = append(list, b())
			}
			return 1, flow.All(run, list...)
		})
	}
	a := func() flow.Branch { return flow.Parallel("a", one) }
	b := func() flow.Branch { return flow.Parallel("b", never, night) }
	c := func() flow.Branch { return flow.Parallel("c", one) }
	for name, change := range map[string][2]flow.Definition[int, int]{
		"an outcome":  {define(a, b), define(b, c)},
		"an attempt":  {define(b), define(c)},
		"another one": {define(a, b), define(a, b, c)},
		"one less":    {define(a, b), define(a)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				log := flowtest.NewLog()
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				r := flow.Rehearsal{Flow: change[0], ID: "x", Input: 1, Log: log}
				if _, ended, err := r.Run(ctx); ended || err != nil {
					t.Fatalf("it has ended: %v", err)
				}
				r.Flow = change[1]
				if err := r.Signal("wake", "1", nil); err != nil {
					t.Fatal(err)
				}
				if state, _, err := r.Run(t.Context()); err != nil || state.Status != flow.Stuck || !strings.Contains(state.Reason, "follow the journal") {
					t.Errorf("state %+v, %v", state, err)
				}
			})
		})
	}
}
