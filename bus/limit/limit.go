// Package limit says how often something may happen: so many times in a while, with
// bursts, counted for each key by itself, in this process ([NewMemory]) or by all
// processes together (bus/redis).
//
// The algorithm is GCRA, the generic cell rate algorithm of ATM networks (ITU-T I.371,
// ATM Forum TM 4.0, as "virtual scheduling"): a key is one number, the time at which its
// bucket would be full again, and a decision is one comparison. It is exact: no window
// begins anew and lets twice as much through.
//
// It is for fairness and protection and not for money: a shared limiter that is lost
// begins with full bursts, and [Fallback] counts in each process alone meanwhile.
package limit

import (
	"context"
	"time"

	"github.com/ordermesh/ordermesh/bus/contract"
)

// Rate is what is allowed.
type Rate struct {
	N     int           // times
	Per   time.Duration // in this while, on average
	Burst int           // and at once; 0 is N
}

// Verdict is the answer to one question.
type Verdict struct {
	Allowed    bool
	Remaining  int           // what could be taken at once now
	RetryAfter time.Duration // when the same question would be answered with yes; 0 if it was
	ResetAfter time.Duration // when the whole burst is there again
}

// Limiter counts. Implementations pass the suite in limittest and are safe for
// concurrent use.
type Limiter interface {
	// Take takes n times out of what a key may do, all or nothing. A rate without
	// meaning and more than a whole burst are invalid.
	Take(ctx context.Context, key string, r Rate, n int) (Verdict, error)
}

const (
	maxTimes = 1_000_000
	maxWhile = 365 * 24 * time.Hour
)

// Check returns the time between two takes and the burst, or why the question makes no
// sense.
func (r Rate) Check(n int) (every time.Duration, burst int, err error) {
	burst = r.Burst
	if burst == 0 {
		burst = r.N
	}
	switch {
	case r.N < 1 || r.N > maxTimes || r.Per <= 0 || r.Per > maxWhile || burst < 1 || burst > maxTimes:
		return 0, 0, contract.ErrInvalid.Sayf("a rate of %d in %v with a burst of %d makes no sense", r.N, r.Per, r.Burst)
	case r.Per/time.Duration(r.N) < time.Microsecond:
		return 0, 0, contract.ErrInvalid.Sayf("a rate of %d in %v is more than can be counted", r.N, r.Per)
	case n < 1 || n > burst:
		return 0, 0, contract.ErrInvalid.Sayf("%d at once cannot be taken from a burst of %d", n, burst)
	}
	return r.Per / time.Duration(r.N), burst, nil
}

// Decide is GCRA: full is when the key's bucket would be full, the zero time if nothing is
// known of it; it returns when it will be.
func Decide(now, full time.Time, every time.Duration, burst, n int) (Verdict, time.Time) {
	if full.Before(now) {
		full = now
	}
	capacity := every * time.Duration(burst)
	next := full.Add(every * time.Duration(n))
	earliest := next.Add(-capacity)
	if wait := earliest.Sub(now); wait > 0 {
		return Verdict{Remaining: int((capacity - full.Sub(now)) / every), RetryAfter: wait, ResetAfter: full.Sub(now)}, full
	}
	return Verdict{Allowed: true, Remaining: int((capacity - next.Sub(now)) / every), ResetAfter: next.Sub(now)}, next
}
