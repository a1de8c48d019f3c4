package event

import (
	"cmp"
	"slices"
	"time"
)

// lanes keep the deliveries of an ordered consumer in order: one lane per entity, of
// which only the head runs. core.mu guards it.
//
// After a take-over the former process may have left messages unacknowledged, and the
// server hands out newer ones before it hands those out again. So for a while a
// message waits for the entity's previous message (header Mesh-Prev) unless that is
// known to be settled: it is below the consumer's ack floor, or it came to this
// process, or it is newer than everything that the former process was given.
type lanes struct {
	byEntity map[string]*lane

	until    time.Time // end of the doubts; zero when there are none
	floor    uint64    // everything up to here is acknowledged
	frontier uint64    // everything after this came to this process first; 0: not known yet
	again    map[uint64]bool
}

type lane struct {
	busy  bool
	queue []*delivery // by sequence
}

func newLanes() *lanes { return &lanes{byEntity: map[string]*lane{}} }

// takeOver begins a time of doubts.
func (l *lanes) takeOver(until time.Time) {
	l.until, l.floor, l.frontier, l.again = until, 0, 0, map[uint64]bool{}
}

// doubting reports whether order after a take-over is not settled yet.
func (l *lanes) doubting() bool { return !l.until.IsZero() }

// add puts a delivery into its lane and returns what may run now, if anything.
func (l *lanes) add(d *delivery) *delivery {
	if l.doubting() && d.answer == nil {
		l.note(d)
	}
	if d.entity == "" {
		return d
	}
	ln := l.byEntity[d.entity]
	if ln == nil {
		ln = &lane{}
		l.byEntity[d.entity] = ln
	}
	at, _ := slices.BinarySearchFunc(ln.queue, d.sequence, func(q *delivery, seq uint64) int {
		return cmp.Compare(q.sequence, seq)
	})
	ln.queue = slices.Insert(ln.queue, at, d)
	return l.start(ln)
}

func (l *lanes) note(d *delivery) {
	if d.attempt > 1 {
		l.again[d.sequence] = true
	} else if l.frontier == 0 {
		l.frontier = d.sequence - 1
	}
}

// start takes the head of a lane that is free and has no doubts.
func (l *lanes) start(ln *lane) *delivery {
	if ln.busy || len(ln.queue) == 0 || l.doubtful(ln.queue[0]) {
		return nil
	}
	d := ln.queue[0]
	ln.queue = slices.Delete(ln.queue, 0, 1)
	ln.busy = true
	return d
}

func (l *lanes) doubtful(d *delivery) bool {
	return l.doubting() && d.answer == nil && d.previous > l.floor && !l.again[d.previous] &&
		(l.frontier == 0 || d.previous <= l.frontier)
}

// done frees the lane of a delivery that was settled and returns the next one.
func (l *lanes) done(d *delivery) *delivery {
	ln := l.byEntity[d.entity]
	if ln == nil {
		return nil
	}
	ln.busy = false
	next := l.start(ln)
	if next == nil && len(ln.queue) == 0 {
		delete(l.byEntity, d.entity)
	}
	return next
}

// settle learns the ack floor and returns what may run because of it, or because the
// time of doubts is over.
func (l *lanes) settle(floor uint64, now time.Time) (runnable []*delivery) {
	l.floor = max(l.floor, floor)
	if now.After(l.until) {
		l.until, l.again = time.Time{}, nil
	}
	for _, ln := range l.byEntity {
		if d := l.start(ln); d != nil {
			runnable = append(runnable, d)
		}
	}
	return runnable
}

// waiting takes every delivery that has not been started out of its lane.
func (l *lanes) waiting() (all []*delivery) {
	for entity, ln := range l.byEntity {
		all = append(all, ln.queue...)
		ln.queue = nil
		if !ln.busy {
			delete(l.byEntity, entity)
		}
	}
	return all
}
