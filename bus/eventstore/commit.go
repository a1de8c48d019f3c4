package eventstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/failpoint"
)

const (
	maxTries   = 20
	firstPause = 500 * time.Microsecond
	maxPause   = time.Second
)

// verdict is what became of an append that was not acknowledged.
type verdict uint8

const (
	undecided verdict = iota
	stored
	overtaken // another process appended instead
)

// commit appends a draft and brings the image up to date. Unless it is stored, the
// group has to be decided again: on the new image when it was overtaken, on the same
// one, without those who no longer wait, when it is undecided. An error means that
// nothing is stored, or contract.Deadline that it is unknown.
//
// An append whose fate is unclear is sent again unchanged: its condition lets it be
// stored once at most, and when an earlier try was stored, the first message after
// the base has its bytes. On a cluster a refusal whose cause cannot be read yet says
// nothing: another write may be on its way, and that may be our own.
func (e *Entity[S, C, E]) commit(ctx context.Context, s *slot[S, C], d *draft[S], group []*request[S, C]) (verdict, error) {
	e.finish(d, s)
	e.metrics.group.Observe(float64(d.commands))
	m := Message{Subject: s.subject, Header: d.header(&s.image), Data: d.body}
	failpoint.Hit("eventstore.decided")
	doubt := false // an earlier try may be stored
	for try := 0; ; try++ {
		begin := time.Now()
		seq, err := e.log.Append(ctx, m, s.image.sequence)
		if err == nil {
			failpoint.Hit("eventstore.appended")
			e.metrics.append.Observe(time.Since(begin).Seconds())
			e.accept(s, d, seq)
			return stored, nil
		}
		switch {
		case errors.Is(err, bus.ErrUnknown), errors.Is(err, bus.ErrConflict):
			doubt = doubt || errors.Is(err, bus.ErrUnknown)
			if v, err := e.settle(ctx, s, d, doubt); v != undecided {
				return v, err
			}
		case !errors.Is(err, bus.ErrNoStream):
			return undecided, e.abandon(s, doubt, err)
		}
		if try+1 == maxTries || !sleep(ctx, pause(try)) {
			return undecided, e.abandon(s, doubt, err)
		}
		if !doubt && anyOver(group) {
			return undecided, nil
		}
		e.metrics.resends.Inc()
	}
}

// accept makes the draft the image.
func (e *Entity[S, C, E]) accept(s *slot[S, C], d *draft[S], seq uint64) {
	im := &s.image
	s.known = seq
	im.state, im.version, im.sequence = d.state, d.version, seq
	im.since++
	if d.withSnap {
		im.snap, im.since = seq, 0
	}
	im.window.hashes = append(im.window.hashes, d.window.hashes...)
	im.window.entries = append(im.window.entries, d.window.entries...)
	im.window.trim()
}

// settle reads what the subject got since the base of the draft. The draft can only
// be the first message there. An error comes with overtaken: the draft is not stored.
func (e *Entity[S, C, E]) settle(ctx context.Context, s *slot[S, C], d *draft[S], doubt bool) (verdict, error) {
	last, err := e.last(ctx, s)
	base := s.image.sequence
	switch {
	case err != nil, last.Sequence == base, last.Sequence < base && doubt:
		return undecided, nil //nolint:nilerr // the caller looks again
	case last.Sequence < base: // the log was cut: begin anew from what is there
		return overtaken, e.advance(ctx, s, last)
	}
	next, err := e.following(ctx, base, last)
	if err != nil {
		return undecided, nil //nolint:nilerr // the caller looks again
	}
	if bytes.Equal(next.Data, d.body) {
		e.accept(s, d, next.Sequence)
		_ = e.advance(ctx, s, last) // else it is loaded again at the next request
		return stored, nil
	}
	e.metrics.conflicts.Inc()
	return overtaken, e.advance(ctx, s, last)
}

var errEnough = errors.New("read enough")

// following returns the first message after base on the subject of last.
func (e *Entity[S, C, E]) following(ctx context.Context, base uint64, last Message) (Message, error) {
	if h, err := contract.ParseCommitHeader(last.Header); err == nil && h.Prev == base {
		return last, nil
	}
	var next Message
	err := e.read(ctx, last.Subject, base, last.Sequence, func(m Message) error {
		next = m
		return errEnough
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return next, err
}

func contractError(err error) bool {
	var c *contract.Error
	return errors.As(err, &c)
}

// abandon gives an append up. What the log holds is looked up at the next request.
func (e *Entity[S, C, E]) abandon(s *slot[S, C], doubt bool, cause error) error {
	s.loaded = false
	if doubt {
		return fmt.Errorf("append to %s: %w: %w", s.subject, contract.ErrDeadline, cause)
	}
	return fmt.Errorf("append to %s: %w: %w", s.subject, contract.ErrUnavailable, cause)
}

// pause grows from half a millisecond to a second; a random part keeps processes
// from meeting again.
func pause(try int) time.Duration {
	p := min(firstPause<<min(try, 20), maxPause)
	return p/2 + rand.N(p/2)
}

// sleep reports whether d has passed before ctx ended.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
