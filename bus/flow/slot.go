package flow

import (
	"context"
	"errors"
	"time"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/telemetry"
)

// slot is what the steward does with one partition.
type slot struct {
	state    slotState
	part     *partition
	revision uint64
	retryAt  time.Time // no new claim or reopening before
	again    bool      // deliveries may have been lost meanwhile: reopen once this is done
}

type slotState int

const (
	slotIdle slotState = iota
	slotClaiming
	slotOwned
	slotReopening
	slotReleasing
)

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
	s.jobs.Go(func() { s.events <- f() }) // there is room for a job of each partition and the watch
}

// claim takes a partition over.
func (s *session) claim(p int) {
	sl := &s.slots[p]
	sl.state = slotClaiming
	revision, link := s.members.owners[p].revision, s.link
	s.job(func() func() {
		ctx, cancel := context.WithTimeout(link, handsOver)
		defer cancel()
		revision, err := s.leases.claim(ctx, p, s.id, revision)
		if err != nil {
			return func() { s.claimed(p, nil, 0, err) }
		}
		part := newPartition(s.ctx, s.eng, s.w.conn.JetStream(), p)
		part.poison, part.broken = s.w.bury, s.broken
		if err := part.open(ctx); err != nil {
			part.close() // the key has our name: it is claimed again, or vacated
			return func() { s.claimed(p, nil, 0, err) }
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
	if p == 0 {
		part.flows.Go(func() { s.janitor().run(part.ctx) })
	}
	s.reopenIfAsked(p)
}

// release hands a partition over: no more deliveries, flows end or leave, then the
// key is free.
func (s *session) release(p int) {
	sl := &s.slots[p]
	sl.state = slotReleasing
	part, revision := sl.part, sl.revision
	s.job(func() func() {
		part.handOver(finishes, handsOver)
		err := s.free(p, revision)
		return func() { s.released(p, err) }
	})
}

// vacate frees the key of a partition that has our name and that we do not have: it
// could not be freed when the partition was given up, and as long as we live nobody
// else would take it.
func (s *session) vacate(p int) {
	s.slots[p].state = slotReleasing
	revision := s.members.owners[p].revision
	s.job(func() func() {
		err := s.free(p, revision)
		return func() { s.released(p, err) }
	})
}

func (s *session) free(p int, revision uint64) error {
	ctx, cancel := context.WithTimeout(s.ctx, handsOver)
	defer cancel()
	err := s.leases.free(ctx, p, revision)
	if err != nil {
		s.logger("the partition's key could not be freed, trying again", p, telemetry.KeyError, err.Error())
	}
	return err
}

// drop gives up a partition that somebody else has taken.
func (s *session) drop(p int) {
	sl := &s.slots[p]
	sl.state = slotReleasing
	part := sl.part
	s.logger("partition taken by another worker", p)
	s.job(func() func() {
		part.close()
		return func() { s.released(p, nil) }
	})
}

// released forgets a partition; err says that its key still has our name.
func (s *session) released(p int, err error) {
	if part := s.slots[p].part; part != nil {
		s.w.leaving.Go(part.flows.Wait)
		s.w.metrics.partitions.Dec()
	}
	s.slots[p] = slot{retryAt: time.Now().Add(beatEvery / 2)}
	if err == nil && s.members.owners[p].owner == s.id {
		s.members.owners[p] = lease{}
	}
}

// broken is called when deliveries of a partition may have been lost.
func (s *session) broken(p int) {
	select {
	case s.reopen <- p:
	default: // one is enough
	}
}

// reconnected gives up what was asked of the former connection, for no answer will
// come, and has everything delivered again.
func (s *session) reconnected() {
	s.relink()
	s.link, s.relink = context.WithCancel(s.ctx)
	for p := range s.slots {
		s.slots[p].retryAt = time.Time{}
		s.reopenSlot(p)
	}
}

// reopenSlot makes the consumer deliver again what is not acknowledged: after an
// outage nobody knows what was lost on the way. Instances in memory recognise what
// they hold.
func (s *session) reopenSlot(p int) {
	sl := &s.slots[p]
	switch {
	case !s.w.conn.NATS().IsConnected():
		return // a connection that comes back asks for all
	case sl.state == slotClaiming || sl.state == slotReopening:
		sl.again = true
		return
	case sl.state != slotOwned:
		return
	case time.Now().Before(sl.retryAt): // reports of one trouble come in crowds
		time.AfterFunc(time.Until(sl.retryAt), func() { s.broken(p) })
		return
	}
	sl.state = slotReopening
	part, link := sl.part, s.link
	s.job(func() func() {
		part.silence()
		ctx, cancel := context.WithTimeout(link, handsOver)
		defer cancel()
		err := part.open(ctx)
		return func() { s.reopened(p, err) }
	})
}

func (s *session) reopened(p int, err error) {
	sl := &s.slots[p]
	sl.state = slotOwned
	switch {
	case err == nil:
		sl.retryAt = time.Now().Add(time.Second)
	case errors.Is(err, context.Canceled):
		sl.again = true // the connection is a new one
	default:
		s.logger("deliveries could not be resumed, trying again", p, telemetry.KeyError, err.Error())
		sl.again, sl.retryAt = true, time.Now().Add(beatEvery/2)
	}
	s.reopenIfAsked(p)
}

func (s *session) reopenIfAsked(p int) {
	if s.slots[p].again {
		s.slots[p].again = false
		s.reopenSlot(p)
	}
}

func (s *session) logger(text string, p int, more ...any) {
	s.w.conn.Telemetry().Logger.Warn("flow: "+text,
		append([]any{telemetry.KeyPartition, p, telemetry.KeyConsumer, s.w.consumer(p).Name, telemetry.KeyStream, contract.FlowStream}, more...)...)
}
