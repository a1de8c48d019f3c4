package flow

import (
	"fmt"
	"time"

	"github.com/ordermesh/ordermesh/bus/contract"
)

// longestTimer is the longest wait that is believed to be meant.
const longestTimer = 10 * 366 * 24 * time.Hour

// ErrBadTimer refuses a wait that cannot be meant: none at all, a negative one, or one
// of more than ten years.
var ErrBadTimer = contract.NewError(contract.Invalid, "flow_bad_timer", "a timer is longer than nothing and shorter than ten years")

// Sleep waits for d, however often the process dies meanwhile. The time that counts is
// fixed when the sleep begins; it is never cut short, except by a cancel or the flow's
// deadline ([ErrCancelled], [ErrDeadline]). The name is what people see.
func (r *Run) Sleep(name string, d time.Duration) error {
	if d <= 0 || d > longestTimer {
		return ErrBadTimer.Sayf("the timer %s is %v: it must be longer than nothing and shorter than ten years", name, d)
	}
	return r.sleep(name, func() time.Time { return time.Now().Add(d) })
}

// SleepUntil waits until t; a time that has passed costs no wait. See [Run.Sleep].
func (r *Run) SleepUntil(name string, t time.Time) error {
	if time.Until(t) > longestTimer {
		return ErrBadTimer.Sayf("the timer %s is set to %s: that is more than ten years", name, t.UTC().Format(time.DateOnly))
	}
	return r.sleep(name, func() time.Time { return t })
}

// sleep waits until the time that until names when the wait begins.
func (r *Run) sleep(name string, until func() time.Time) error {
	in := r.inst
	r.claim(name)
	if r.cancelled {
		return in.cancelError()
	}
	if rec := r.replay(kindTimer, name, ""); rec != nil {
		return r.repeat(rec, call{})
	}
	if in.cancelRequested() {
		return r.observeCancel()
	}
	open := in.open
	if open == nil {
		open = &record{Index: r.next, Kind: kindTimer, Name: name, At: time.Now().UnixMilli(), Due: ceilMilli(until())}
	}
	in.proceed()
	in.rest(open, nil)
	if in.cancelRequested() {
		return r.observeCancel()
	}
	r.record(&record{Kind: kindTimer, Name: name, Due: open.Due}, false)
	return nil
}

// ceilMilli rounds up: nobody is woken early.
func ceilMilli(t time.Time) int64 { return t.Add(time.Millisecond - 1).UnixMilli() }

// UUID returns a UUID that is the same at every replay and different for every other
// call, instance and generation (RFC 9562, version 8). It is unique, not secret: who
// knows the instance can compute it.
func (r *Run) UUID() string {
	r.outside("uuid")
	r.uuids++
	sum := r.inst.digest(fmt.Sprintf("uuid %d", r.uuids))
	sum[6], sum[8] = sum[6]&0x0f|0x80, sum[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", sum[:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])
}
