package limit_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/limit"
	"github.com/ordermesh/ordermesh/bus/limit/limittest"
)

func TestMemory(t *testing.T) {
	t.Parallel()
	limittest.Run(t, func(*testing.T) limit.Limiter { return limit.NewMemory() })
}

func TestFallbackIsALimiter(t *testing.T) {
	t.Parallel()
	limittest.Run(t, func(*testing.T) limit.Limiter { return limit.Fallback(limit.NewMemory(), limit.NewMemory()) })
}

// TestNoWhileLetsMoreThrough asks at random times and looks at every while that begins
// with a yes.
func TestNoWhileLetsMoreThrough(t *testing.T) {
	t.Parallel()
	const per, times, burst = time.Second, 10, 5
	every := per / times
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 1))
		now, full := time.Unix(0, 0), time.Time{}
		var yes []time.Time
		for range 2000 {
			now = now.Add(time.Duration(r.ExpFloat64() * float64(every) / 2))
			var v limit.Verdict
			if v, full = limit.Decide(now, full, every, burst, 1); v.Allowed {
				yes = append(yes, now)
			} else if again, _ := limit.Decide(now.Add(v.RetryAfter), full, every, burst, 1); !again.Allowed {
				t.Fatalf("seed %d: refused, and refused again after %v", seed, v.RetryAfter)
			}
		}
		for i := range yes {
			for j := i; j < len(yes) && yes[j].Sub(yes[i]) < per; j++ {
				if most := burst + int(yes[j].Sub(yes[i])/every); j-i+1 > most {
					t.Fatalf("seed %d: %d in %v, want %d at most", seed, j-i+1, yes[j].Sub(yes[i]), most)
				}
			}
		}
		if got, least := len(yes), int(now.Sub(time.Unix(0, 0))/every)*9/10; got < least {
			t.Errorf("seed %d: %d of a demand of twice the rate, want %d at least", seed, got, least)
		}
	}
}

// broken is a shared limiter that fails as told.
type broken struct {
	limit.Limiter
	err  error
	asks int
}

func (b *broken) Take(ctx context.Context, key string, r limit.Rate, n int) (limit.Verdict, error) {
	b.asks++
	if b.err != nil {
		return limit.Verdict{}, b.err
	}
	return b.Limiter.Take(ctx, key, r, n)
}

func TestFallbackCountsAloneMeanwhile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		shared := &broken{Limiter: limit.NewMemory()}
		l := limit.Fallback(shared, limit.NewMemory())
		rate := limit.Rate{N: 5, Per: time.Hour}
		count := func(key string) (yes int) {
			for range 20 {
				v, err := l.Take(t.Context(), key, rate, 1)
				if err != nil {
					t.Fatal(err)
				}
				if v.Allowed {
					yes++
				}
			}
			return yes
		}
		if n := count("a"); n != 5 {
			t.Errorf("%d together", n)
		}
		shared.err, shared.asks = errors.New("down"), 0
		if n := count("a"); n != 5 {
			t.Errorf("%d alone", n)
		}
		if shared.asks != 1 {
			t.Errorf("a limiter that fails was asked %d times in a row", shared.asks)
		}
		shared.err = nil
		time.Sleep(2 * time.Second) //nolint:forbidigo // the bubble's clock
		if n := count("a"); n != 0 {
			t.Errorf("%d more when it was back", n)
		}
		if _, err := l.Take(t.Context(), "a", limit.Rate{}, 1); !errors.Is(err, contract.ErrInvalid) {
			t.Error(err)
		}
	})
}

func TestMemoryForgets(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := limit.NewMemory()
		for i := range 100_000 {
			if _, err := m.Take(t.Context(), fmt.Sprint(i), limit.Rate{N: 1, Per: time.Millisecond}, 1); err != nil {
				t.Fatal(err)
			}
			if i%100 == 0 {
				time.Sleep(time.Millisecond) //nolint:forbidigo // the bubble's clock
			}
		}
		if n := limit.Keys(m); n > 5000 {
			t.Errorf("%d keys are kept", n)
		}
	})
}

func ExampleLimiter() {
	l := limit.NewMemory()
	for range 3 {
		v, err := l.Take(context.Background(), "customer/c1", limit.Rate{N: 2, Per: time.Hour}, 1)
		fmt.Println(v.Allowed, v.Remaining, v.RetryAfter > 0, err)
	}
	// Output:
	// true 1 false <nil>
	// true 0 false <nil>
	// false 0 true <nil>
}
