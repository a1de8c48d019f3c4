// Package limittest is the suite that every limit.Limiter passes.
package limittest

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/limit"
)

// Run runs the suite; open returns a limiter that knows no key.
func Run(t *testing.T, open func(*testing.T) limit.Limiter) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, limit.Limiter){
		"a burst and no more": burst, "all or nothing": allOrNothing, "keys are apart": apart, "time gives back": givesBack,
		"what makes no sense": invalid, "everybody at once": together,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}

func take(t *testing.T, l limit.Limiter, key string, r limit.Rate, n int) limit.Verdict {
	t.Helper()
	v, err := l.Take(t.Context(), key, r, n)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func burst(t *testing.T, l limit.Limiter) {
	t.Helper()
	r := limit.Rate{N: 1, Per: time.Hour, Burst: 3}
	for left := 2; left >= 0; left-- {
		v := take(t, l, "a", r, 1)
		if !v.Allowed || v.Remaining != left || v.RetryAfter != 0 || v.ResetAfter <= 0 || v.ResetAfter > time.Duration(3-left)*time.Hour {
			t.Errorf("%+v, want %d left", v, left)
		}
	}
	v := take(t, l, "a", r, 1)
	if v.Allowed || v.Remaining != 0 || v.RetryAfter <= 59*time.Minute || v.RetryAfter > time.Hour || v.ResetAfter <= 179*time.Minute {
		t.Errorf("%+v", v)
	}
}

func allOrNothing(t *testing.T, l limit.Limiter) {
	t.Helper()
	r := limit.Rate{N: 10, Per: time.Hour}
	if v := take(t, l, "a", r, 7); !v.Allowed || v.Remaining != 3 {
		t.Errorf("%+v", v)
	}
	if v := take(t, l, "a", r, 4); v.Allowed || v.Remaining != 3 {
		t.Errorf("4 of 3: %+v", v)
	}
	if v := take(t, l, "a", r, 3); !v.Allowed || v.Remaining != 0 {
		t.Errorf("%+v", v)
	}
}

func apart(t *testing.T, l limit.Limiter) {
	t.Helper()
	r := limit.Rate{N: 1, Per: time.Hour}
	for _, key := range []string{"a", "b", "", "a b", "a\x00\n{x}"} {
		if v := take(t, l, key, r, 1); !v.Allowed {
			t.Errorf("%q: %+v", key, v)
		}
		if v := take(t, l, key, r, 1); v.Allowed {
			t.Errorf("%q again: %+v", key, v)
		}
	}
}

func givesBack(t *testing.T, l limit.Limiter) {
	t.Helper()
	r := limit.Rate{N: 20, Per: time.Second, Burst: 1}
	if v := take(t, l, "a", r, 1); !v.Allowed {
		t.Fatalf("%+v", v)
	}
	begin := time.Now()
	for {
		v := take(t, l, "a", r, 1)
		if v.Allowed {
			break
		}
		select {
		case <-time.After(v.RetryAfter):
		case <-t.Context().Done():
			t.Fatal("never allowed")
		}
	}
	if d := time.Since(begin); d < 40*time.Millisecond {
		t.Errorf("a twentieth of a second was over after %v", d)
	}
}

func invalid(t *testing.T, l limit.Limiter) {
	t.Helper()
	for _, c := range []struct {
		rate limit.Rate
		n    int
	}{
		{limit.Rate{}, 1},
		{limit.Rate{N: 1}, 1},
		{limit.Rate{N: -1, Per: time.Second}, 1},
		{limit.Rate{N: 1, Per: -time.Second}, 1},
		{limit.Rate{N: 1, Per: time.Second, Burst: -1}, 1},
		{limit.Rate{N: 1, Per: time.Second}, 0},
		{limit.Rate{N: 1, Per: time.Second}, 2},
		{limit.Rate{N: 1, Per: time.Second}, -1},
		{limit.Rate{N: 1000, Per: time.Microsecond}, 1},
		{limit.Rate{N: 1, Per: 1 << 62}, 1},
	} {
		if _, err := l.Take(t.Context(), "a", c.rate, c.n); !errors.Is(err, contract.ErrInvalid) {
			t.Errorf("%+v, %d: %v", c.rate, c.n, err)
		}
	}
}

func together(t *testing.T, l limit.Limiter) {
	t.Helper()
	var yes atomic.Int64
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			for range 20 {
				if take(t, l, "a", limit.Rate{N: 50, Per: 10 * time.Hour}, 1).Allowed {
					yes.Add(1)
				}
			}
		})
	}
	all.Wait()
	if n := yes.Load(); n != 50 {
		t.Errorf("%d were allowed, want 50", n)
	}
}
