package rpc

import (
	"runtime"
	"time"
)

// How the number of handlers that run at the same time follows the processors.
//
// Handlers that wait for others may be many. Handlers that compute share the processors:
// with more of them than processors nothing is done sooner and everything later, also the
// reading and refusing of what comes in. So the server learns of each method what its
// handler takes when the processors are not contended, and how much of that it computes;
// as many run as then keep all processors busy, by Little's law:
//
//	processors × time ÷ time computed
//
// and a multiple of that where they wait for most of the time.
//
// What a handler computes in other goroutines is not seen: it is taken for waiting, as all
// of it is where a thread's processor time cannot be read.
const (
	// slack is how many times more run of those that wait longer than they compute:
	// waiting costs little, and what waits together is often done together.
	slack = 4
	// startingHands is with how many for each processor a server begins that knows nothing.
	startingHands = 4
	// lookEvery is how often that is looked at, while there are requests.
	lookEvery = 10 * time.Millisecond
	// stale is the age from which on the last look says nothing about now.
	stale = 10 * lookEvery
	// sampleEvery is how often a handler of a method is timed on a thread of its own, after
	// the first ones, while as many handlers run as there are processors.
	sampleEvery  = 20 * time.Millisecond
	firstSamples = 4
	// ours is the share of the processors from which on the handlers themselves are why
	// these are contended. What they wait is then forgotten by and by: if that makes them
	// too few, the processors are not contended any more, and it is learned anew.
	ours   = 0.5
	forget = 32
	// hangs is how long no handler ends before more may run, whatever is known of them.
	hangs = 5 * lookEvery
)

// limiter says how many handlers run at the same time. It belongs to the pool's lock.
type limiter struct {
	now         int  // the limit
	least, most int  // its bounds
	measures    bool // a thread's processor time can be read
	processors  int
	waiting     func() float64 // goroutines for a processor

	contended bool
	looked    time.Duration
	ended     time.Duration // when a handler ended last
	shared    time.Duration // when more of them ran last than there are processors

	work  time.Duration // that handlers have computed since the last look
	share float64       // of the processors that handlers use lately

	usual, computed time.Duration // sums over handlers that ended; half is forgotten in each look
}

func newLimiter(most int) limiter {
	processors := runtime.GOMAXPROCS(0)
	l := limiter{least: min(processors, most), most: most, now: most, processors: processors, contended: true, waiting: (&schedule{}).waiting}
	if _, _, l.measures = threadTime(); l.measures {
		l.now = min(startingHands*processors, most)
	}
	return l
}

// learned is what is known of a method's handlers; it belongs to the pool's lock.
type learned struct {
	usual    time.Duration // what one takes while nobody else wants the processors
	computed time.Duration // what of that it computes
}

// timing is what one handler took.
type timing struct {
	took     time.Duration
	ended    time.Duration // by the server's clock
	sampled  bool          // the following is known
	computed time.Duration // on its thread
	delayed  time.Duration // its thread had no processor though it could run
}

// served learns from a handler that has ended, as one of so many that ran.
func (l *limiter) served(e *endpoint, t timing, running int) {
	l.ended = t.ended
	if running > l.least {
		l.shared = t.ended
	}
	if !l.measures {
		return
	}
	if e.short() { // they are not many at a time, whatever they do
		return
	}
	k := &e.learned
	if t.sampled {
		k.computed = average(k.computed, min(t.computed, t.took))
		alone := t.ended-t.took >= l.shared
		switch {
		case !l.contended || alone:
			k.usual = average(k.usual, max(t.took-t.delayed, t.computed))
		case l.share > ours:
			k.usual -= max(k.usual-k.computed, 0) / forget
		}
	}
	l.work += k.computed
	l.computed += k.computed
	l.usual += max(k.usual, k.computed) // a method that is not known yet is taken for one that computes: it is soon known then
}

// average is a mean in which what is new counts an eighth.
func average(mean, value time.Duration) time.Duration {
	if mean == 0 {
		return value
	}
	return mean + (value-mean)/8
}

// look sets the limit anew when it is time. Handler is what handlers take at present.
func (l *limiter) look(now, handler time.Duration) {
	if !l.measures || now-l.looked < lookEvery {
		return
	}
	part := float64(l.work) / float64(now-l.looked) / float64(l.processors)
	l.share, l.work = l.share+(part-l.share)/8, 0
	l.contended = l.waiting() > float64(l.processors)/2 || now-l.looked > stale
	l.looked = now
	switch {
	case now-l.ended > max(hangs, 2*handler): // whatever they do, nothing comes of it
		more := l.now
		if l.contended && l.computed > 0 {
			more = 1
		}
		l.now = min(l.now+more, l.most)
	case l.computed > 0:
		l.now = l.enough()
	case !l.contended:
		l.now = min(2*l.now, l.most)
	}
	l.usual, l.computed = l.usual/2, l.computed/2
}

// hands is how many handlers a queue may count on: all there can be, as long as nothing is
// known of them.
func (l *limiter) hands() int {
	if l.computed == 0 {
		return l.most
	}
	return l.now
}

// enough is how many handlers keep the processors busy.
func (l *limiter) enough() int {
	times := float64(l.usual) / float64(l.computed)
	n := float64(l.processors) * (times + slack*max(times-2, 0))
	return int(min(max(n, float64(l.least)), float64(l.most)))
}
