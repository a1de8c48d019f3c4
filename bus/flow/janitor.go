package flow

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/telemetry"
)

// Bounds of a janitor's round, and the pauses between rounds.
const (
	roundReads     = 1000
	roundCondensed = 100
	roundPause     = 50 * time.Millisecond // while there is more to do
	sweepFactor    = 10                    // large values are looked at this much less often
)

// janitor condenses and forgets what has ended long ago. One worker of a service has
// it, the owner of partition 0; two at once do no harm.
//
// It walks the journals in the order in which they were written and waits where they
// become younger than what is kept. The end of a flow is a message of its own, so what
// was still open is met again: nothing has to be looked at twice.
type janitor struct {
	eng    *engine
	bucket *bucket
	retention

	from   uint64    // the walk goes on here
	began  time.Time // when it was last at the beginning
	object uint64    // the sweep goes on here
}

func (s *session) janitor() *janitor {
	return &janitor{eng: s.eng, bucket: s.w.payloads, retention: s.w.options.retention}
}

// pause is how long to wait when there is nothing to do.
func (j *janitor) pause() time.Duration {
	return min(max(j.keep/100, 50*time.Millisecond), time.Minute)
}

// run works until ctx ends.
func (j *janitor) run(ctx context.Context) {
	swept := time.Now()
	for j.may(ctx) {
		more, err := j.walk(ctx)
		if !more && time.Since(swept) > sweepFactor*j.pause() {
			left, failed := j.sweep(ctx)
			if !left {
				swept = time.Now()
			}
			more, err = left, errors.Join(err, failed)
		}
		if err != nil && ctx.Err() == nil {
			more = false
			j.eng.telemetry.Logger.Warn("what ended flows have left behind cannot be cleared away yet", telemetry.KeyError, err.Error())
		}
		d := roundPause
		if !more {
			d = j.pause()
		}
		wait(ctx, d)
	}
}

// may reports whether the partition is still this worker's.
func (j *janitor) may(ctx context.Context) bool { return ctx.Err() == nil && j.eng.alive() }

// walk is one round over the journals; more means that the next need not wait.
func (j *janitor) walk(ctx context.Context) (more bool, err error) {
	if time.Since(j.began) > j.keep { // what was left out for now gets another chance
		j.from, j.began = 1, time.Now()
	}
	filter := contract.FlowLogFilter(j.eng.service)
	condensed := 0
	for range roundReads {
		if !j.may(ctx) || condensed >= roundCondensed {
			return true, nil
		}
		s, err := j.eng.log.Next(ctx, filter, j.from)
		if err != nil || s.Sequence == 0 || time.Since(s.Time) < j.keep {
			return false, err
		}
		p, err := decodePage(s.Data)
		if err != nil || !p.Status.Ended() || p.condensed() {
			j.from = s.Sequence + 1
			continue
		}
		err = j.eng.condense(ctx, p, s, j.retention)
		if err != nil && !isConflict(err) && !errors.Is(err, errBusy) {
			return false, fmt.Errorf("the flow %s %s: %w", p.Flow, p.ID, err)
		}
		if err == nil {
			condensed++
			j.eng.metrics.condensed.Inc()
		}
		j.from = s.Sequence + 1
	}
	return true, nil
}

// sweep is one round over the large values: those go that no journal, result record or
// waiting input can refer to.
func (j *janitor) sweep(ctx context.Context) (more bool, err error) {
	for range roundReads {
		if !j.may(ctx) {
			return true, nil
		}
		o, err := j.bucket.next(ctx, j.object+1)
		if err != nil || o.sequence == 0 || time.Since(o.at) < j.keep {
			j.object = 0
			return false, err
		}
		j.object = o.sequence
		service, name, id, _, ok := parsePayload(o.name)
		if !ok || service != j.eng.service {
			continue
		}
		needed, err := j.needed(ctx, name, id, o)
		if err != nil || needed {
			if err != nil {
				return false, err
			}
			continue
		}
		if err := j.bucket.remove(ctx, o); err != nil {
			return false, fmt.Errorf("the large value %s: %w", o.name, err)
		}
		j.eng.metrics.removed.Inc()
	}
	return true, nil
}

// needed reports whether something may refer to a large value.
func (j *janitor) needed(ctx context.Context, name, id string, o object) (bool, error) {
	last, err := j.eng.log.Last(ctx, contract.FlowLog(j.eng.service, name, id))
	if err != nil {
		return true, err
	}
	if last.Sequence > 0 {
		p, err := decodePage(last.Data)
		return err != nil || p.needs(o.name), nil //nolint:nilerr // nobody knows what a journal of another layout needs
	}
	inbox, err := j.eng.log.Last(ctx, j.eng.inbox(name, id))
	if err != nil {
		return true, err
	}
	waiting := inbox.Sequence > 0 && headerOf(inbox.Header, headerKind) != string(inputGone)
	return waiting || time.Since(o.at) < j.orphan, nil
}
