package flow

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
)

const (
	lookEvery = 50 * time.Millisecond  // how often the steward judges who lives
	finishes  = 500 * time.Millisecond // how long flows may end by themselves before they are handed over
	handsOver = 5 * time.Second        // how long their running steps may take then
)

// errLapsed ends a session whose beats were not acknowledged in time: somebody else
// may own its partitions by now.
var errLapsed = errors.New("the ownership of flow partitions has lapsed")

// session is one worker's membership from its first beat to its last. A worker whose
// ownership lapses begins another one under another name.
type session struct {
	w       *Worker
	id      string
	born    time.Time
	leases  *leases
	members *members
	eng     *engine
	ctx     context.Context //nolint:containedctx // ends the instances
	cancel  context.CancelFunc
	link    context.Context //nolint:containedctx // ends when the connection is a new one
	relink  context.CancelFunc

	beaten atomic.Int64 // when the last acknowledged beat was sent, nanoseconds since born
	lapsed atomic.Bool

	watch      jetstream.KeyWatcher
	watched    time.Time // when the last watch was begun
	rewatching bool

	slots    []slot
	jobs     sync.WaitGroup
	events   chan func()
	reopen   chan int // partitions whose deliveries may have been lost
	draining bool
}

func (w *Worker) newSession(parent context.Context, l *leases) *session {
	ctx, cancel := context.WithCancel(context.WithoutCancel(parent))
	s := &session{
		w: w, id: nuid.Next(), born: time.Now(), leases: l, ctx: ctx, cancel: cancel,
		slots: make([]slot, w.options.partitions), events: make(chan func(), w.options.partitions+1),
		reopen: make(chan int, w.options.partitions),
	}
	s.link, s.relink = context.WithCancel(ctx)
	s.members = newMembers(l, s.id, w.options.partitions)
	s.eng = &engine{
		gate:    newGate(w.options.capacity, w.flows),
		service: w.service, session: s.id, log: streamLog{w.conn}, payloads: w.payloads, flows: w.flows,
		partitions: w.options.partitions, reading: make(chan struct{}, maxReads), telemetry: w.conn.Telemetry(), metrics: w.metrics,
		alive: s.alive, answer: w.answer, acknowledged: s.acknowledged,
	}
	return s
}

// alive reports whether the last acknowledged beat is young. Once it was not, the
// session is over, whatever comes later.
func (s *session) alive() bool {
	if s.lapsed.Load() {
		return false
	}
	if time.Since(s.born)-time.Duration(s.beaten.Load()) < lapse {
		return true
	}
	s.lapsed.Store(true)
	return false
}

// run is the steward: it beats, watches, claims and releases until parent ends and
// everything is handed over (nil), or the ownership lapses (errLapsed).
func (s *session) run(parent context.Context) error {
	defer s.abandon()
	var err error
	if s.watch, err = s.leases.watch(s.ctx); err != nil {
		return err
	}
	defer func() { _ = s.watch.Stop() }() // the subscription ends with the session in any case
	status := s.w.conn.NATS().StatusChanged(nats.CONNECTED)
	defer s.w.conn.NATS().RemoveStatusListener(status)
	if err := s.snapshot(parent); err != nil {
		return err
	}
	beats, looks := time.NewTicker(beatEvery), time.NewTicker(lookEvery)
	defer beats.Stop()
	defer looks.Stop()
	s.beat()
	stop := parent.Done()
	for {
		select {
		case <-stop:
			stop, s.draining = nil, true
			s.beat()
		case <-beats.C:
			s.beat()
		case <-looks.C:
			s.lookAfterWatch(time.Now())
		case e, ok := <-s.watch.Updates():
			switch {
			case !ok:
				return errLapsed // closed from outside: begin anew
			case e != nil:
				s.members.observe(e, time.Now())
			}
		case f := <-s.events:
			f()
		case <-status:
			s.reconnected()
		case p := <-s.reopen:
			s.reopenSlot(p)
		}
		if !s.alive() {
			return errLapsed
		}
		s.steer(time.Now())
		if s.draining && s.empty() {
			return nil
		}
	}
}

// snapshot takes the bucket's present state in.
func (s *session) snapshot(parent context.Context) error {
	for {
		select {
		case <-parent.Done():
			return nil
		case e, ok := <-s.watch.Updates():
			if !ok {
				return errLapsed
			}
			if e == nil {
				s.beaten.Store(int64(time.Since(s.born)))
				return nil
			}
			s.members.observe(e, time.Now())
		}
	}
}

// lookAfterWatch begins another watch when this one shows nothing any more, not even
// our own beats: the client library takes ten seconds to notice.
func (s *session) lookAfterWatch(now time.Time) {
	if s.rewatching || now.Sub(s.members.seen[s.id]) < lapse || now.Sub(s.watched) < lapse || !s.w.conn.NATS().IsConnected() {
		return
	}
	s.rewatching, s.watched = true, now
	ctx, cancel := context.WithCancel(s.ctx)
	late := time.AfterFunc(lapse, cancel) // bounds the request, not the watch
	s.job(func() func() {
		watch, err := s.leases.watch(ctx)
		if !late.Stop() && err == nil {
			_ = watch.Stop() // it would end at once
			err = ctx.Err()
		}
		if err != nil {
			cancel()
		}
		return func() { s.rewatched(watch, err) }
	})
}

// rewatched changes over to a new watch, which tells all keys again.
func (s *session) rewatched(watch jetstream.KeyWatcher, err error) {
	s.rewatching = false
	if err != nil {
		return
	}
	_ = s.watch.Stop() // it has nothing to tell any more
	s.watch = watch
	clear(s.members.owners)
}

// beat renews the presence. What counts is when it was sent.
func (s *session) beat() {
	value := present
	if s.draining {
		value = leaving
	}
	sent := int64(time.Since(s.born))
	s.leases.beat(s.id, value, func(err error) {
		if err != nil {
			return
		}
		for {
			last := s.beaten.Load()
			if last >= sent || s.beaten.CompareAndSwap(last, sent) {
				return
			}
		}
	})
}

// steer compares what we own with what we should own.
func (s *session) steer(now time.Time) {
	if !s.members.fresh(now) {
		return
	}
	plan := s.members.plan(now)
	settled := true
	for p := range s.slots {
		sl := &s.slots[p]
		mine := plan[p] == s.id && !s.draining
		switch {
		case sl.state == slotIdle && mine:
			settled = false
			if now.After(sl.retryAt) && s.members.claimable(p, now) {
				s.claim(p)
			}
		case sl.state == slotIdle && s.members.owners[p].owner == s.id && !s.draining: // a key that ends with us needs no freeing
			settled = false
			if now.After(sl.retryAt) {
				s.vacate(p)
			}
		case sl.state == slotOwned && s.members.owners[p].owner != s.id && s.members.owners[p].revision > sl.revision:
			s.drop(p)
		case sl.state == slotOwned && !mine:
			s.release(p)
		case sl.state != slotIdle && sl.state != slotOwned:
			settled = false
		}
	}
	if settled {
		s.w.becomeReady()
	}
}

// abandon ends the session: whatever still runs belongs to nobody.
func (s *session) abandon() {
	s.lapsed.Store(true)
	s.cancel()
	s.jobs.Wait()
	for len(s.events) > 0 {
		(<-s.events)()
	}
	for p := range s.slots {
		if part := s.slots[p].part; part != nil {
			part.close()
			s.w.leaving.Go(part.flows.Wait)
			s.w.metrics.partitions.Dec()
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = s.leases.withdraw(ctx, s.id) // otherwise the key runs out
}
