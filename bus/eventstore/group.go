package eventstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/failpoint"
	"github.com/ordermesh/ordermesh/bus/telemetry"
)

// process answers every request of a group: it decides them in a row, appends what
// they change as one message and starts again with what is left when another
// process appended first. Nothing is answered from memory alone: either the group's
// own append proves that the image was current after all of the group had arrived,
// or a read from the leader does.
func (e *Entity[S, C, E]) process(ctx context.Context, s *slot[S, C], group []*request[S, C]) {
	defer func() {
		if p := recover(); p != nil {
			s.loaded = false
			e.fail(group, e.panicked(ctx, p))
		}
	}()
	current := false // the image is not older than the arrival of the group
	for round := 0; ; round++ {
		if round > 1 {
			_ = sleep(ctx, contention(round))
		}
		if group = e.dropOver(group); len(group) == 0 {
			return
		}
		answered, v, err := e.step(ctx, s, group, current)
		if err != nil {
			e.fail(group[answered:], err)
			return
		}
		if group = group[answered:]; answered > 0 {
			round = 0
		}
		current = current || v != undecided
	}
}

// step decides a group once and answers as many of its requests, from the front, as
// that allows. A verdict other than undecided says that the image is now newer than
// the group.
func (e *Entity[S, C, E]) step(ctx context.Context, s *slot[S, C], group []*request[S, C], current bool) (int, verdict, error) {
	d, n, current, err := e.propose(ctx, s, group, current)
	if err != nil {
		return 0, undecided, err
	}
	if d.commands == 0 {
		if !current && !failpoint.StaleRefusal && !allStale(group) {
			if same, err := e.confirm(ctx, s); err != nil || !same {
				return 0, overtaken, err
			}
		}
		e.answer(group)
		return len(group), overtaken, nil
	}
	if failpoint.EarlyAck {
		e.answer(group[:n])
		failpoint.LingerUnstored()
		_, _ = e.commit(ctx, s, d, nil)
		return n, undecided, nil
	}
	v, err := e.commit(ctx, s, d, group[:n])
	if err != nil || v != stored {
		return 0, v, err
	}
	e.answer(group[:n])
	return n, v, nil
}

// propose decides a group on the image, loading it when there is none, and reports
// whether that is as fresh as the group. An entity that this process has never met is
// at first supposed not to exist, as it does not when its first command comes: if
// something can be appended on that, the append finds out and the load is saved.
func (e *Entity[S, C, E]) propose(ctx context.Context, s *slot[S, C], group []*request[S, C], current bool) (*draft[S], int, bool, error) {
	if !s.loaded && s.known == 0 {
		s.image, s.loaded = image[S]{}, true
		d := newDraft(s)
		n := e.decideAll(d, s, group)
		if d.commands > 0 {
			return d, n, false, nil
		}
		s.loaded = false
		if allStale(group) {
			return d, n, false, nil
		}
	}
	if !s.loaded {
		fresh, err := e.load(ctx, s, group)
		if err != nil {
			return nil, 0, false, err
		}
		current = fresh
	}
	d := newDraft(s)
	return d, e.decideAll(d, s, group), current, nil
}

// allStale says whether nobody in the group minds an old image.
func allStale[S, C any](group []*request[S, C]) bool {
	for _, r := range group {
		if !r.stale {
			return false
		}
	}
	return true
}

// contention is a random pause that gives other processes their turn.
func contention(round int) time.Duration {
	return rand.N(min(time.Duration(round)*500*time.Microsecond, 4*time.Millisecond))
}

// decideAll decides requests in a row, each on the state that the ones before it
// leave, and returns how many it could take into one message.
func (e *Entity[S, C, E]) decideAll(d *draft[S], s *slot[S, C], group []*request[S, C]) int {
	for i, r := range group {
		e.decideOne(d, s, r)
		if len(d.body) > maxGroupBytes || d.actorBytes > maxActorBytes {
			return i + 1
		}
	}
	return len(group)
}

func (e *Entity[S, C, E]) decideOne(d *draft[S], s *slot[S, C], r *request[S, C]) {
	r.state, r.version, r.err = d.state, d.version, nil
	switch version, known := e.known(d, s, r); {
	case r.read:
		r.outcome = read
	case known:
		r.version, r.outcome = version, repeated
	default:
		r.outcome = e.try(d, r)
	}
}

// known finds the version at which a repeated command ended.
func (e *Entity[S, C, E]) known(d *draft[S], s *slot[S, C], r *request[S, C]) (uint64, bool) {
	if r.id == "" {
		return 0, false
	}
	if version, ok := d.window.find(r.hash, r.id); ok {
		return version, true
	}
	return s.image.window.find(r.hash, r.id)
}

// try decides a command and adds its events to the draft; a refusal, a panic and
// events that cannot be stored leave the draft as it was.
func (e *Entity[S, C, E]) try(d *draft[S], r *request[S, C]) (result outcome) {
	before := *d
	defer func() {
		if p := recover(); p != nil {
			r.err, result = e.panicked(r.ctx, p), failed
		}
		if r.err != nil {
			*d = before
		}
	}()
	events, err := e.decide(d.state, r.cmd)
	if err != nil {
		r.err = err
		return refused
	}
	if len(events) == 0 {
		return nothing
	}
	if r.err = e.add(d, r, events); r.err != nil {
		if errors.Is(r.err, ErrTooLarge) {
			return refused
		}
		return failed
	}
	r.state, r.version = d.state, d.version
	return changed
}

// panicked logs a panic of decide or evolve and returns what callers learn of it.
func (e *Entity[S, C, E]) panicked(ctx context.Context, p any) error {
	e.tel.Logger.ErrorContext(ctx, "deciding panicked", slog.String(telemetry.KeyEntity, e.info.Entity),
		slog.String(telemetry.KeyPanic, fmt.Sprint(p)), telemetry.Stack(2))
	return fmt.Errorf("decide on %s: %w", e.info.Entity, contract.ErrInternal)
}

// add appends a command's events to the draft and applies them.
func (e *Entity[S, C, E]) add(d *draft[S], r *request[S, C], events []E) error {
	cause := r.id
	if r.id == "" {
		cause = randomID()
	}
	start := len(d.body)
	for i, event := range events {
		name, err := e.events.TypeName(event)
		if err != nil {
			return fmt.Errorf("encode an event: %w", err)
		}
		data, err := contract.Marshal(event)
		if err != nil {
			return fmt.Errorf("encode an event %s: %w", name, err)
		}
		d.record(eventID(d.subject, cause, i), name, r.id, data)
		d.state = e.evolve(d.state, event)
		d.version++
	}
	if len(d.body)-start > maxCommandBytes {
		return ErrTooLarge
	}
	d.caused(r.actor, len(events))
	if d.commands++; r.id != "" {
		d.window.add(r.hash, r.id, d.version)
	}
	if d.trace == "" {
		d.trace = r.trace
	}
	return nil
}
