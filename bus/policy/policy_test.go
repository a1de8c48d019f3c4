package policy_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/policy"
	"github.com/ordermesh/ordermesh/bus/telemetry"
)

var errDown = contract.ErrUnavailable

func executor(t testing.TB, calls policy.Calls) *policy.Executor {
	t.Helper()
	e, err := policy.NewExecutor(telemetry.Nop(), "shop", "bank", calls)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// inARow is a partner whose breaker counts failures in a row.
func inARow() policy.Calls {
	calls := policy.Partner()
	calls.Breaker = policy.Breaker{Failures: 5, Successes: 2, Open: policy.Duration(10 * time.Second)}
	return calls
}

// once makes one attempt that ends with err and reports whether it was made.
func once(e *policy.Executor, err error) (made bool, got error) {
	_, got = policy.Guard(context.Background(), e, policy.Call{}, 0, func(context.Context, int) (int, error) {
		made = true
		return 0, err
	})
	return made, got
}

func isState(t *testing.T, e *policy.Executor, want policy.State) {
	t.Helper()
	if got := e.Status().Breaker; got != want {
		t.Fatalf("the breaker is %s, not %s", got, want)
	}
}

// TestBreaker: failures in a row open it, probes close it after its time, too many failed
// probes open it again.
func TestBreaker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := executor(t, inARow())
		for range 4 {
			once(e, errDown)
		}
		once(e, nil)
		for range 4 {
			once(e, errDown)
		}
		isState(t, e, policy.Closed)
		once(e, errDown)
		isState(t, e, policy.Open)
		time.Sleep(4 * time.Second) //nolint:forbidigo // the bubble's clock
		made, err := once(e, nil)
		var refusal *contract.Error
		if made || !errors.Is(err, policy.ErrOpen) || !errors.As(err, &refusal) || refusal.RetryAfter != 6*time.Second {
			t.Fatalf("made %v: %v, retry after %v", made, err, refusal.RetryAfter)
		}
		time.Sleep(6 * time.Second) //nolint:forbidigo // the bubble's clock
		once(e, nil)
		once(e, errDown)
		once(e, errDown)
		isState(t, e, policy.HalfOpen)
		once(e, errDown)
		isState(t, e, policy.Open)
		once(e, nil)
		time.Sleep(10 * time.Second) //nolint:forbidigo // the bubble's clock
		once(e, nil)
		isState(t, e, policy.HalfOpen)
		once(e, contract.ErrInvalid) // an answer
		isState(t, e, policy.Closed)
		if c := e.Status().Counts; c.Opened != 2 || c.Kept != 2 || c.Attempts != 16 || c.Failures != 12 {
			t.Errorf("%+v", c)
		}
	})
}

// TestFailures: what counts against a destination and what does not.
func TestFailures(t *testing.T) {
	t.Parallel()
	for err, want := range map[error]bool{
		contract.ErrUnavailable: true, contract.ErrDeadline: true, contract.ErrInternal: true, errors.New("broken pipe"): true,
		context.DeadlineExceeded: true, contract.ErrExhausted: false, contract.ErrInvalid: false, policy.ErrOpen: false, policy.ErrLimit: false,
		context.Canceled: false, contract.NewError(contract.NotFound, "none", "none"): false,
	} {
		if policy.Failed(err) != want {
			t.Errorf("%v: %v", err, !want)
		}
	}
}

// TestLateResults: attempts that hung when the breaker opened do not judge the probes, and
// a probe that was given up does not keep its place.
func TestLateResults(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := executor(t, inARow())
		release := make(chan error)
		hang := func() {
			_, _ = policy.Guard(t.Context(), e, policy.Call{}, 0, func(context.Context, int) (int, error) { return 0, <-release })
		}
		for range 3 {
			go hang()
		}
		synctest.Wait()
		for range 5 {
			once(e, errDown)
		}
		time.Sleep(10 * time.Second) //nolint:forbidigo // the bubble's clock
		once(e, nil)
		for range 3 {
			release <- errDown
		}
		synctest.Wait()
		isState(t, e, policy.HalfOpen)
		once(e, nil)
		isState(t, e, policy.Closed)
		for range 5 {
			once(e, errDown)
		}
		time.Sleep(10 * time.Second) //nolint:forbidigo // the bubble's clock
		for range 3 {
			once(e, context.Canceled)
		}
		isState(t, e, policy.Open)
		time.Sleep(10 * time.Second) //nolint:forbidigo // the bubble's clock
		for range 3 {
			panics(t, e)
		}
		isState(t, e, policy.Open)
		time.Sleep(10 * time.Second) //nolint:forbidigo // the bubble's clock
		once(e, nil)
		once(e, nil)
		isState(t, e, policy.Closed)
	})
}

func panics(t *testing.T, e *policy.Executor) {
	t.Helper()
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	_, _ = policy.Guard(t.Context(), e, policy.Call{}, 0, func(context.Context, int) (int, error) { panic("probe") })
}

// TestShare: a breaker that counts a share opens at it, not before there are enough calls.
func TestShare(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		calls := policy.Mesh()
		calls.Breaker = policy.Breaker{Failures: 10, Rate: 0.5, Within: policy.Duration(10 * time.Second), Successes: 1, Open: policy.Duration(time.Second)}
		e := executor(t, calls)
		for range 6 {
			once(e, nil)
		}
		for range 3 {
			once(e, errDown)
		}
		isState(t, e, policy.Closed)
		for range 3 {
			once(e, errDown)
		}
		isState(t, e, policy.Open)
	})
}

// TestFailingTogether: calls that time out at the same time, while others succeed, do not
// open the breaker of a partner; an outage does.
func TestFailingTogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := executor(t, policy.Partner())
		for range 60 {
			once(e, nil)
		}
		time.Sleep(2 * time.Second) //nolint:forbidigo // the bubble's clock
		for range 40 {
			once(e, contract.ErrDeadline)
		}
		isState(t, e, policy.Closed)
		for range 20 {
			once(e, errDown)
		}
		isState(t, e, policy.Open)
	})
}

// TestApply: a changed policy keeps what it does not change; an open breaker stays open
// under changed rules.
func TestApply(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		calls := inARow()
		e := executor(t, calls)
		for range 4 {
			once(e, errDown)
		}
		calls.Retry.Attempts = 7
		apply(t, e, calls, 3)
		once(e, errDown)
		isState(t, e, policy.Open)
		since := e.Status().Since
		calls.Bulkhead.Concurrent = 7
		time.Sleep(time.Second) //nolint:forbidigo // the bubble's clock
		apply(t, e, calls, 4)
		if s := e.Status(); s.Breaker != policy.Open || s.Since != since || s.Revision != 4 {
			t.Errorf("%+v", s)
		}
		calls.Breaker.Open = policy.Duration(2 * time.Second)
		apply(t, e, calls, 5)
		isState(t, e, policy.Open)
		time.Sleep(2 * time.Second) //nolint:forbidigo // the bubble's clock
		if made, _ := once(e, nil); !made {
			t.Error("no probe")
		}
		calls.Breaker.Off = true
		apply(t, e, calls, 6)
		isState(t, e, policy.NoBreak)
		calls.Retry.First = 0
		if err := e.Apply(calls, 7); err == nil || e.Status().Revision != 6 {
			t.Errorf("revision %d: %v", e.Status().Revision, err)
		}
	})
}

func apply(t *testing.T, e *policy.Executor, calls policy.Calls, revision uint64) {
	t.Helper()
	if err := e.Apply(calls, revision); err != nil {
		t.Fatal(err)
	}
}

// TestRepeat: what is repeated, how often and after which pauses.
func TestRepeat(t *testing.T) {
	t.Parallel()
	late := contract.ErrUnavailable.After(300 * time.Millisecond)
	tests := []struct {
		name   string
		call   policy.Call
		err    error
		tries  int
		at     time.Duration // when it ends, at most; half of it at least
		within time.Duration
	}{
		{"not there", policy.Call{Repeatable: true}, errDown, 5, 1500 * time.Millisecond, time.Minute},
		{"may have had an effect", policy.Call{}, errDown, 1, 0, time.Minute},
		{"a refusal", policy.Call{Repeatable: true}, contract.ErrInvalid, 1, 0, time.Minute},
		{"a defect", policy.Call{Repeatable: true}, contract.ErrInternal, 1, 0, time.Minute},
		{"overloaded without a time", policy.Call{Repeatable: true}, contract.ErrExhausted, 1, 0, time.Minute},
		{"asked to wait", policy.Call{Repeatable: true}, late, 5, 4*300*time.Millisecond + 750*time.Millisecond, time.Minute},
		{"no time for the second pause", policy.Call{Repeatable: true}, errDown, 2, 100 * time.Millisecond, 150 * time.Millisecond},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				calls := policy.Mesh()
				calls.Retry = policy.Retry{
					Attempts: 5, First: policy.Duration(100 * time.Millisecond), Factor: 2, Max: policy.Duration(time.Second), Jitter: 0.5, Reserve: 100,
				}
				e, start, tries := executor(t, calls), time.Now(), 0
				ctx, cancel := context.WithTimeout(t.Context(), test.within)
				defer cancel()
				_, err := policy.Do(ctx, e, test.call, func(context.Context) (int, error) {
					tries++
					return 0, test.err
				})
				took := time.Since(start)
				if !errors.Is(err, test.err) || tries != test.tries || took > test.at || took < test.at/2 {
					t.Errorf("%d tries in %v: %v", tries, took, err)
				}
			})
		})
	}
}

// TestTimeout: an attempt that hangs is given up and repeated.
func TestTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		calls := policy.Mesh()
		calls.Timeout = policy.Duration(time.Second)
		tries := 0
		got, err := policy.Do(t.Context(), executor(t, calls), policy.Call{Repeatable: true}, func(ctx context.Context) (string, error) {
			if tries++; tries < 3 {
				<-ctx.Done()
				return "", ctx.Err()
			}
			return "at last", nil
		})
		if err != nil || got != "at last" || tries != 3 {
			t.Errorf("%q after %d tries: %v", got, tries, err)
		}
	})
}

// TestBudget: when everything fails, repeats are a part of the calls.
func TestBudget(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		calls := policy.Mesh()
		calls.Breaker.Off = true
		calls.Retry.Budget, calls.Retry.Reserve = 0.2, 0
		e := executor(t, calls)
		for range 1000 {
			_, _ = policy.Do(t.Context(), e, policy.Call{Repeatable: true}, func(context.Context) (int, error) { return 0, errDown })
		}
		if c := e.Status().Counts; c.Repeats != 200 || c.Attempts != 1200 || c.Unpaid < 500 {
			t.Errorf("%+v", c)
		}
	})
}

// TestLimits: each bounds what it says, and refuses with a time to come back.
func TestLimits(t *testing.T) {
	t.Parallel()
	const bound = 8
	for name, set := range map[string]func(*policy.Calls){
		"bulkhead": func(c *policy.Calls) {
			c.Bulkhead = policy.Bulkhead{Concurrent: bound, Wait: policy.Duration(time.Millisecond)}
		},
		"adaptive": func(c *policy.Calls) {
			c.Adaptive = policy.Adaptive{Least: 1, Initial: bound, Most: 100, Wait: policy.Duration(time.Millisecond)}
		},
		"rate": func(c *policy.Calls) {
			c.Rate = policy.Rate{Calls: 1, Per: policy.Duration(5 * time.Second), Wait: policy.Duration(36 * time.Second)}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				calls := policy.Mesh()
				set(&calls)
				e := executor(t, calls)
				var running, most, refused atomic.Int32
				var all sync.WaitGroup
				for range 20 {
					all.Go(func() {
						_, err := policy.Do(t.Context(), e, policy.Call{}, func(ctx context.Context) (int, error) {
							most.Store(max(most.Load(), running.Add(1)))
							if name == "rate" {
								return 0, nil
							}
							defer running.Add(-1)
							return 0, wait(ctx, time.Hour)
						})
						var e *contract.Error
						if errors.Is(err, policy.ErrLimit) && errors.As(err, &e) && e.RetryAfter > 0 {
							refused.Add(1)
						}
					})
				}
				all.Wait()
				if most.Load() != bound || refused.Load() != 20-bound {
					t.Errorf("%d ran, %d were refused", most.Load(), refused.Load())
				}
				if s := e.Status(); s.Counts.Limited != 20-bound || s.Breaker != policy.Closed {
					t.Errorf("%+v", s)
				}
			})
		})
	}
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// TestHedge: a slow read is asked again, a write is not, and nobody is left behind.
func TestHedge(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		calls := policy.Mesh()
		calls.Hedge = policy.Hedge{After: policy.Duration(50 * time.Millisecond), Extra: 2}
		e := executor(t, calls)
		for _, reads := range []bool{true, false} {
			var begun, ended atomic.Int32
			start := time.Now()
			got, err := policy.Do(t.Context(), e, policy.Call{Repeatable: true, Reads: reads}, func(ctx context.Context) (string, error) {
				defer ended.Add(1)
				if begun.Add(1) == 1 {
					err := wait(ctx, time.Second)
					return "slow", err
				}
				return "fast", wait(ctx, 10*time.Millisecond)
			})
			took, want := time.Since(start), map[bool]string{true: "fast", false: "slow"}[reads]
			if err != nil || got != want || begun.Load() != ended.Load() || reads && took != 60*time.Millisecond {
				t.Errorf("%s in %v, %d begun, %d ended: %v", got, took, begun.Load(), ended.Load(), err)
			}
		}
		if c := e.Status().Counts; c.Hedges != 1 || c.Failures != 0 {
			t.Errorf("%+v", c)
		}
	})
}

// TestDoor: who knows no policies has one all the same.
func TestDoor(t *testing.T) {
	t.Parallel()
	calls := policy.Store()
	e := executor(t, calls)
	door := e.Door(policy.Call{Name: "redis"})
	broken := errors.New("broken pipe")
	if err := door.Do(t.Context(), func(context.Context) error { return nil }); err != nil || !door.IsClosed() {
		t.Error(err)
	}
	for range calls.Breaker.Failures {
		if err := door.Do(t.Context(), func(context.Context) error { return broken }); !errors.Is(err, broken) {
			t.Error(err)
		}
	}
	if err := door.Do(t.Context(), func(context.Context) error { return nil }); !errors.Is(err, policy.ErrOpen) || door.IsClosed() {
		t.Errorf("after failures: %v", err)
	}
	calls.Breaker.Off = true
	apply(t, e, calls, 1)
	if !door.IsClosed() {
		t.Error("closed by a breaker that is off")
	}
}

// TestNoGarbage: a call without trouble allocates nothing.
func TestNoGarbage(t *testing.T) {
	e := executor(t, policy.Mesh())
	ctx, call := t.Context(), policy.Call{Repeatable: true, Start: time.Now()}
	send := func(_ context.Context, n int) (int, error) { return n, nil }
	guard := func(ctx context.Context, n int) (int, error) { return policy.Guard(ctx, e, call, n, send) }
	race := func(ctx context.Context, n, _ int) (int, error) { return policy.Race(ctx, e, call, n, guard) }
	if n := testing.AllocsPerRun(1000, func() {
		if got, err := policy.Repeat(ctx, e, call, 7, race); got != 7 || err != nil {
			t.Error(got, err)
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkCall(b *testing.B) {
	e := executor(b, policy.Mesh())
	ctx, call := b.Context(), policy.Call{Repeatable: true, Start: time.Now()}
	send := func(_ context.Context, n int) (int, error) { return n, nil }
	guard := func(ctx context.Context, n int) (int, error) { return policy.Guard(ctx, e, call, n, send) }
	race := func(ctx context.Context, n, _ int) (int, error) { return policy.Race(ctx, e, call, n, guard) }
	for b.Loop() {
		if _, err := policy.Repeat(ctx, e, call, 7, race); err != nil {
			b.Fatal(err)
		}
	}
}

// TestParse: a document changes what it names; one with a fault changes nothing and names
// the fault.
func TestParse(t *testing.T) {
	t.Parallel()
	base := inARow()
	got, err := policy.Parse([]byte(`{"breaker":{"open":"30s"},"bulkhead":{"off":true},"retry":{"jitter":0.25}}`), base)
	want := base
	want.Breaker.Open, want.Bulkhead.Off, want.Retry.Jitter = policy.Duration(30*time.Second), true, 0.25
	if err != nil || got != want {
		t.Errorf("%+v: %v", got, err)
	}
	whole, err := contract.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	if got, err = policy.Parse(whole, policy.Mesh()); err != nil || got != want {
		t.Errorf("%s: %+v: %v", whole, got, err)
	}
	for text, field := range map[string]string{
		"": "", "nonsense": "", "null": "", "[]": "", `{} {}`: "", "{": "", `{"breaker":null}` + strings.Repeat(" ", policy.MaxDocument): "",
		`{"braker":{}}`: "/braker", `{"timeout":"1s","timeout":"2s"}`: "/timeout", `{"Timeout":"1s"}`: "/Timeout",
		`{"timeout":5}`: "/timeout", `{"timeout":"soon"}`: "/timeout", `{"timeout":"-1s"}`: "/timeout", `{"timeout":"11m"}`: "/timeout",
		`{"breaker":{"failures":0}}`: "/breaker/failures", `{"breaker":{"failures":"5"}}`: "/breaker/failures", `{"breaker":{"failures":1.5}}`: "/breaker/failures",
		`{"breaker":{"failures":9223372036854775808}}`: "/breaker/failures", `{"breaker":{"of":3}}`: "/breaker/of", `{"breaker":{"rate":0.5}}`: "/breaker/within",
		`{"breaker":{"rate":1.5,"within":"1s"}}`: "/breaker/rate", `{"retry":{"factor":1e309}}`: "/retry/factor", `{"retry":{"max":"1ms"}}`: "/retry/max",
		`{"retry":{"attempts":0}}`: "/retry/attempts", `{"adaptive":{"initial":1000}}`: "/adaptive/initial", `{"hedge":{"extra":6}}`: "/hedge/extra",
		`{"rate":{"calls":0}}`: "/rate/calls", `{"bulkhead":[]}`: "/bulkhead",
	} {
		got, err := policy.Parse([]byte(text), base)
		var e *contract.Error
		if !errors.As(err, &e) || e.Code != contract.Invalid || e.Field != field || got != base {
			t.Errorf("%.40s: %v, field %s", text, err, e.Field)
		}
	}
}

// TestDefaults: what is built in can be used, and every value of a document is explained.
func TestDefaults(t *testing.T) {
	t.Parallel()
	for _, class := range []contract.CallClass{contract.CallsMesh, contract.CallsEdge, contract.CallsPartner, contract.CallsStore} {
		if err := policy.Default(class).Validate(); err != nil {
			t.Errorf("%s: %v", class, err)
		}
	}
	for _, f := range policy.Mesh().Fields() {
		if f.Doc == "" || (f.Range == "") != strings.HasSuffix(f.Path, ".off") {
			t.Errorf("%+v", f)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{`{}`, `{"breaker":{"open":"30s"}}`, `{"retry":{"factor":2.5}}`, `{"timeout":"9223372036s"}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := policy.Parse(data, policy.Mesh())
		if err != nil {
			if c != policy.Mesh() {
				t.Fatal("a part of a bad document was taken")
			}
			return
		}
		whole, err := contract.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := policy.Parse(whole, policy.Partner()); err != nil || again != c {
			t.Fatalf("%s is read as %+v: %v", whole, again, err)
		}
		if _, err := policy.NewExecutor(telemetry.Nop(), "shop", "bank", c); err != nil {
			t.Fatal(err)
		}
	})
}
