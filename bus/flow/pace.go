package flow

import (
	"time"
)

// stop tells the instance to leave.
func (in *instance) stop(how int32) {
	for {
		now := in.halt.Load()
		if now >= how || in.halt.CompareAndSwap(now, how) {
			break
		}
	}
	in.nudge()
	if how == haltNow {
		in.mu.Lock()
		j := in.j
		in.mu.Unlock()
		if j != nil {
			j.stop()
		}
	}
}

func (in *instance) halted() int32 { return in.halt.Load() }

// proceed is passed before anything happens to the world: the ownership must be
// young, what went before on its way, and what cannot be repeated stored.
func (in *instance) proceed() {
	switch {
	case in.over || in.halted() == haltNow:
		leave()
	case in.halted() == haltSoon:
		in.settleRecords()
		in.stop(haltNow)
		leave()
	case !in.eng.alive():
		in.stop(haltNow)
		leave()
	}
	if in.barrier > 0 {
		barrier := in.barrier
		in.barrier = 0
		if !in.j.await(barrier) {
			leave()
		}
		return
	}
	in.j.flushUnlessCheap()
}

// settleRecords waits until everything recorded so far is stored.
func (in *instance) settleRecords() {
	in.j.mu.Lock()
	version := in.j.version
	in.j.mu.Unlock()
	if !in.j.await(version) {
		leave()
	}
}

// leaveOpen stores what is known of the step under way.
func (in *instance) leaveOpen(open *record, wait bool) {
	in.open = open
	version := in.j.setOpen(open)
	if !wait {
		in.j.flush()
		return
	}
	if !in.j.await(version) {
		leave()
	}
}

// sleep waits for d, or until the instance is told to leave. What came meanwhile wakes
// the next wait.
func (in *instance) sleep(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	woken := false
	for in.halted() == haltNever {
		select {
		case <-timer.C:
			if woken {
				in.nudge()
			}
			return
		case <-in.ctx.Done():
			in.stop(haltNow)
		case <-in.wake:
			woken = true
		}
	}
}
