package flow

import (
	"slices"
	"time"
)

// A flow that waits costs nothing but its messages: once the wait and its alarm are
// stored, the inputs that brought it here are acknowledged, and after a grace time the
// instance leaves memory. The next input, or the alarm, loads it from its journal.
const (
	// shortRest is the longest wait for which nothing is set up: the inputs are held.
	shortRest = 1500 * time.Millisecond
	// stays is how near the end of a wait must be to stay in memory until then.
	stays = 10 * time.Second
	// grace is how long other waits stay in memory: answers often come soon.
	grace = 2 * time.Second
	// maxResting is how many instances of a worker may rest in memory; others leave at
	// once.
	maxResting = 4096
)

// rest suspends the flow: until the time that open names, until ready says so, or
// until a cancel where it takes hold. open is what the journal shows meanwhile.
func (in *instance) rest(open *record, ready func() bool) {
	in.open = open
	cancellable := open.Kind.cancellable()
	due := in.dueOf(open)
	noted := false
	waiting := in.eng.metrics.of(in.name).waiting
	waiting.Inc()
	defer waiting.Dec()
	in.eng.resting.Add(1)
	defer in.eng.resting.Add(-1)
	for !in.rested(due, ready, cancellable) {
		in.stepAside()
		if left := time.Until(due); !due.IsZero() && left < shortRest {
			if !noted && !in.j.shows(open) {
				in.leaveOpen(open, false)
			}
			noted = true
			in.doze(left)
			continue
		}
		noted = true
		if !in.retire(open, due, ready) {
			continue
		}
		if d, leaves := in.lingers(due); in.doze(d) && leaves {
			in.evict(ready, cancellable)
			if d < grace { // something came, or is held that cannot go yet
				in.doze(grace - d)
			}
		}
	}
	if !in.admit() {
		in.proceed() // it has to leave
	}
}

// dueOf is when a wait is over at the latest; the zero time means never.
func (in *instance) dueOf(open *record) time.Time {
	var due time.Time
	if open.Due > 0 {
		due = time.UnixMilli(open.Due)
	}
	if deadline := in.deadline(); open.Kind.cancellable() && !deadline.IsZero() && (due.IsZero() || deadline.Before(due)) {
		due = deadline
	}
	return due
}

// rested reports whether the wait is over; it leaves when the instance has to.
func (in *instance) rested(due time.Time, ready func() bool, cancellable bool) bool {
	if in.halted() != haltNever {
		in.proceed()
	}
	return (cancellable && in.cancelRequested()) || (ready != nil && ready()) || (!due.IsZero() && !time.Now().Before(due))
}

// doze waits for d and reports whether it passed without anything happening. A
// negative d waits for something to happen.
func (in *instance) doze(d time.Duration) bool {
	var over <-chan time.Time
	if d >= 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		over = timer.C
	}
	select {
	case <-over:
		return true
	case <-in.ctx.Done():
		in.stop(haltNow)
	case <-in.wake:
	}
	return false
}

// lingers is how long to look on before the wait is a short one, or leaves memory.
func (in *instance) lingers(due time.Time) (d time.Duration, leaves bool) {
	switch {
	case in.eng.resting.Load() > maxResting:
		return 0, true
	case !due.IsZero() && time.Until(due) < stays:
		return max(time.Until(due)-shortRest/2, 0), false
	}
	return grace, true
}

// retire stores the wait and its alarm and then acknowledges what brought the flow
// here: from now on the alarm and new inputs wake it. It does nothing and returns false
// when what the flow waits for has just come: that input is needed, until something
// follows from it, to wake the flow after a crash.
func (in *instance) retire(open *record, due time.Time, ready func() bool) bool {
	in.mu.Lock()
	if ready != nil && ready() {
		in.mu.Unlock()
		return false
	}
	held := slices.Clone(in.held)
	in.mu.Unlock()
	in.markSeen(false)
	subject := ""
	if !due.IsZero() {
		subject = in.j.alarmSubject(in.eng.service, open)
	}
	missing := in.j.expectAlarm(subject, len(held) > 0)
	if !in.j.await(in.j.setWait(open)) {
		leave()
	}
	if missing {
		in.setAlarm(subject, due.Add(in.eng.clock.ahead()))
	}
	in.release(held)
	return true
}

// setWait shows the open record as a wait. It costs nothing when that is stored
// already, as it is after a replay.
func (j *journal) setWait(open *record) uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	if open.same(j.open) && j.waiting && j.version == j.durable {
		return j.version
	}
	j.open, j.waiting = open, true
	j.version++
	return j.version
}

// settled reports whether everything is stored.
func (j *journal) settled() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.durable >= j.version
}

// shows reports whether the journal has the open record.
func (j *journal) shows(open *record) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return open.same(j.open)
}

// same reports whether an open record says the same as another, or nil.
func (r *record) same(other *record) bool {
	return r == other || (other != nil && r.Index == other.Index && r.Kind == other.Kind && r.Tries == other.Tries && r.Due == other.Due)
}

// release acknowledges inputs whose effects are stored. A cancel that has not taken
// hold is none of them.
func (in *instance) release(done []*input) {
	in.mu.Lock()
	var left []*input
	for _, h := range in.held {
		if !slices.Contains(done, h) || (h.kind == inputCancel && !in.j.took(h.inputID)) {
			left = append(left, h)
			continue
		}
		h.ack()
	}
	in.held = left
	in.mu.Unlock()
}

// evict takes the instance out of memory unless something has come for it.
func (in *instance) evict(ready func() bool, cancellable bool) {
	in.mu.Lock()
	busy := len(in.held) > 0 || (cancellable && in.want) || (ready != nil && ready()) || !in.j.settled()
	if !busy {
		in.gone = true
	}
	in.mu.Unlock()
	if busy {
		return
	}
	in.j.stop()
	giveBack(in.j.buf)
	giveBack(in.j.page)
	leave()
}
