package flow

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/ordermesh/ordermesh/bus/contract"
)

// Retry says how often and how fast a failing step is tried again. By default a step
// never gives up: a dependency that is down for an hour is no reason to undo an order.
type Retry struct {
	First    time.Duration // pause after the first failure; 0 means 100 ms
	Max      time.Duration // longest pause; 0 means 30 s
	Factor   float64       // growth from pause to pause; 0 means 2
	Attempts int           // tries in all, after which the step has failed for good; 0 means no end
}

// panicAttempts bounds the tries of a step, or of a function between steps, that
// panics: repeating a defect does not mend it.
const panicAttempts = 5

func (r Retry) withDefaults() Retry {
	if r.First <= 0 {
		r.First = 100 * time.Millisecond
	}
	if r.Max <= 0 {
		r.Max = max(30*time.Second, r.First)
	}
	if r.Factor < 1 {
		r.Factor = 2
	}
	return r
}

// pause returns how long to wait after the tries-th failure: half of it is jitter. A
// callee that said how long it needs is not asked sooner.
func (r Retry) pause(tries int, err error) time.Duration {
	d := float64(r.First)
	for i := 1; i < tries && d < float64(r.Max); i++ {
		d *= r.Factor
	}
	wait := time.Duration(min(d, float64(r.Max)))
	wait = wait/2 + rand.N(wait/2+1)
	if e, ok := errors.AsType[*contract.Error](err); ok && e.RetryAfter > wait {
		return e.RetryAfter
	}
	return wait
}

// exhausted reports whether tries were all that the policy allows.
func (r Retry) exhausted(tries int) bool { return r.Attempts > 0 && tries >= r.Attempts }

// stepError is what a step returns for good: the same value now and at every replay.
func stepError(name string, tries int, err error) *contract.Error {
	if e, ok := errors.AsType[*contract.Error](err); ok {
		return e
	}
	return ErrStepFailed.Sayf("the step %s failed at each of %d attempts: %s", name, tries, brief(err.Error()))
}

// panicError is a panic of a step as an error.
type panicError struct{ value any }

func (p panicError) Error() string { return fmt.Sprintf("panic: %v", p.value) }

// nestedError is a panic by which an operation inside of a parallel step reaches the
// flow's goroutine, which alone can park the flow.
type nestedError string

func (n nestedError) Error() string { return string(n) }

// unrecordable wraps a result that cannot be written to the journal.
type unrecordable struct{ error }

const maxText = 1 << 10

// brief cuts texts of errors to what a journal should carry.
func brief(text string) string {
	if len(text) > maxText {
		return text[:maxText] + " …"
	}
	return text
}
