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

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/telemetry"
)

const (
	lookEvery = 50 * time.Millisecond  // how often the steward judges who lives
	finishes  = 500 * time.Millisecond // how long flows may end by themselves before they are handed over
	handsOver = 5 * time.Second        // how long their running steps may take then
)

// errLapsed ends a session whose beats were not acknowledged in time: somebody else
// may own its partitions by now.
var errLapsed = errors.New("the ownership of flow partitions has lapsed")

// slot is what the steward does with one partition.
type slot struct {
	state    slotState
	part     *partition
	revision uint64
	retryAt  time.Time // no new claim before
}

type slotState int

const (
	slotIdle slotState = iota
	slotClaiming
	slotOwned
	slotReopening
	slotReleasing
)

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

	beaten atomic.Int64 // when the last acknowledged beat was sent, nanoseconds since born
	lapsed atomic.Bool

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
		slots: make([]slot, w.options.partitions), events: make(chan func(), w.options.partitions),
		reopen: make(chan int, w.options.partitions),
	}
	s.members = newMembers(l, s.id, w.options.partitions)
	s.eng = &engine{
		service: w.service, session: s.id, log: streamLog{w.conn}, flows: w.flows,
		partitions: w.options.partitions, reading: make(chan struct{}, maxReads), telemetry: w.conn.Telemetry(), metrics: w.metrics,
		alive: s.alive, answer: w.answer,
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
	watch, err := s.leases.watch(s.ctx)
	if err != nil {
		return err
	}
	defer func() { _ = watch.Stop() }() // the subscription ends with the session in any case
	status := s.w.conn.NATS().StatusChanged(nats.CONNECTED)
	defer s.w.conn.NATS().RemoveStatusListener(status)
	if err := s.snapshot(parent, watch); err != nil {
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
		case e := <-watch.Updates():
			if e == nil {
				return errLapsed // the watch has ended: begin anew
			}
			s.members.observe(e, time.Now())
		case f := <-s.events:
			f()
		case <-status:
			s.reopenAll()
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
func (s *session) snapshot(parent context.Context, watch jetstream.KeyWatcher) error {
	for {
		select {
		case <-parent.Done():
			return nil
		case e, ok := <-watch.Updates():
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

func (s *session) empty() bool {
	for p := range s.slots {
		if s.slots[p].state != slotIdle {
			return false
		}
	}
	return true
}

// job runs f beside the steward; what f returns runs on the steward's goroutine.
func (s *session) job(f func() func()) {
	s.jobs.Go(func() { s.events <- f() }) // there is room for one job of each partition
}

// claim takes a partition over.
func (s *session) claim(p int) {
	sl := &s.slots[p]
	sl.state = slotClaiming
	revision := s.members.owners[p].revision
	s.job(func() func() {
		ctx, cancel := context.WithTimeout(s.ctx, handsOver)
		defer cancel()
		revision, err := s.leases.claim(ctx, p, s.id, revision)
		if err != nil {
			return func() { s.claimed(p, nil, 0, err) }
		}
		part := newPartition(s.ctx, s.eng, s.w.conn.JetStream(), p)
		part.poison, part.broken = s.w.bury, s.broken
		if err := part.open(ctx); err != nil {
			part.close()
			return func() { s.claimed(p, nil, 0, errors.Join(err, s.leases.free(ctx, p, revision))) }
		}
		return func() { s.claimed(p, part, revision, nil) }
	})
}

func (s *session) claimed(p int, part *partition, revision uint64, err error) {
	sl := &s.slots[p]
	if err != nil {
		sl.state, sl.retryAt = slotIdle, time.Now().Add(beatEvery/2)
		if !errors.Is(err, errTaken) {
			s.logger("claim failed", p, telemetry.KeyError, err.Error())
		}
		return
	}
	sl.state, sl.part, sl.revision = slotOwned, part, revision
	if s.members.owners[p].revision < revision {
		s.members.owners[p] = lease{owner: s.id, revision: revision}
	}
	s.w.metrics.partitions.Inc()
}

// release hands a partition over: no more deliveries, flows end or leave, then the
// key is free.
func (s *session) release(p int) {
	sl := &s.slots[p]
	sl.state = slotReleasing
	part, revision := sl.part, sl.revision
	s.job(func() func() {
		part.handOver(finishes, handsOver)
		ctx, cancel := context.WithTimeout(s.ctx, handsOver)
		defer cancel()
		if err := s.leases.free(ctx, p, revision); err != nil {
			s.logger("the partition's key could not be freed", p, telemetry.KeyError, err.Error())
		}
		return func() { s.released(p) }
	})
}

// drop gives up a partition that somebody else has taken.
func (s *session) drop(p int) {
	sl := &s.slots[p]
	sl.state = slotReleasing
	part := sl.part
	s.logger("partition taken by another worker", p)
	s.job(func() func() {
		part.close()
		return func() { s.released(p) }
	})
}

func (s *session) released(p int) {
	s.slots[p] = slot{retryAt: time.Now().Add(beatEvery / 2)}
	if s.members.owners[p].owner == s.id {
		s.members.owners[p] = lease{}
	}
	s.w.metrics.partitions.Dec()
}

// broken is called when deliveries of a partition may have been lost.
func (s *session) broken(p int) {
	select {
	case s.reopen <- p:
	default: // one is enough
	}
}

func (s *session) reopenAll() {
	for p := range s.slots {
		s.reopenSlot(p)
	}
}

// reopenSlot makes the consumer deliver again what is not acknowledged: after an
// outage nobody knows what was lost on the way. Instances in memory recognise what
// they hold.
func (s *session) reopenSlot(p int) {
	sl := &s.slots[p]
	if sl.state != slotOwned || time.Now().Before(sl.retryAt) {
		return
	}
	sl.state = slotReopening
	part := sl.part
	s.job(func() func() {
		part.silence()
		ctx, cancel := context.WithTimeout(s.ctx, handsOver)
		defer cancel()
		err := part.open(ctx)
		return func() { s.reopened(p, err) }
	})
}

func (s *session) reopened(p int, err error) {
	sl := &s.slots[p]
	sl.state, sl.retryAt = slotOwned, time.Now().Add(time.Second)
	if err == nil {
		return
	}
	s.logger("deliveries could not be resumed, trying again", p, telemetry.KeyError, err.Error())
	time.AfterFunc(time.Second, func() { s.broken(p) })
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

func (s *session) logger(text string, p int, more ...any) {
	s.w.conn.Telemetry().Logger.Warn("flow: "+text,
		append([]any{telemetry.KeyPartition, p, telemetry.KeyConsumer, durableName(s.w.service, p), telemetry.KeyStream, contract.FlowStream}, more...)...)
}
