package eventstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/telemetry"
)

// searchFirst is the first stretch of the stream in which a commit is looked for
// below a foreign message, in sequences.
const searchFirst = 64

// load brings the slot to the log's last message and reports whether that answer is
// as fresh as the group. A group that may append does with a cheaper read: if it was
// old, the append fails.
func (e *Entity[S, C, E]) load(ctx context.Context, s *slot[S, C], group []*request[S, C]) (bool, error) {
	begin := time.Now()
	fresh := true
	for _, r := range group {
		if !r.read || r.stale {
			fresh = false
			break
		}
	}
	last, err := e.retry(ctx, s, fresh)
	if err != nil {
		return false, err
	}
	if err := e.advance(ctx, s, last); err != nil {
		return false, err
	}
	e.metrics.load.Observe(time.Since(begin).Seconds())
	return fresh, nil
}

// confirm asks the leader whether the image is the newest and advances it if not.
func (e *Entity[S, C, E]) confirm(ctx context.Context, s *slot[S, C]) (bool, error) {
	last, err := e.retry(ctx, s, true)
	if err != nil || last.Sequence == s.image.sequence {
		return err == nil, err
	}
	return false, e.advance(ctx, s, last)
}

// stepDown is how long a leader that was cut off may go on answering, and more.
const stepDown = 15 * time.Second

// last asks the leader. One that knows less than this process was told is a former one
// and not believed, unless it stays so: then the log was cut.
func (e *Entity[S, C, E]) last(ctx context.Context, s *slot[S, C]) (Message, error) {
	m, err := e.log.Last(ctx, s.subject)
	switch {
	case err != nil:
		return m, err
	case m.Sequence < s.known && s.doubted.IsZero():
		s.doubted = time.Now()
		return m, errBehind
	case m.Sequence < s.known && time.Since(s.doubted) < stepDown:
		return m, errBehind
	}
	s.known, s.doubted = m.Sequence, time.Time{}
	return m, nil
}

// retry reads until it works, ctx ends or the patience does: from the leader when it
// must be fresh.
func (e *Entity[S, C, E]) retry(ctx context.Context, s *slot[S, C], fresh bool) (m Message, err error) {
	for try := 0; ; try++ {
		if fresh {
			m, err = e.last(ctx, s)
		} else {
			m, err = e.log.Peek(ctx, s.subject)
		}
		if err == nil {
			return m, nil
		}
		if errors.Is(err, nats.ErrConnectionClosed) || try+1 == maxTries || !sleep(ctx, pause(try)) {
			return m, fmt.Errorf("%w: %w", contract.ErrUnavailable, err)
		}
	}
}

// advance brings the slot to the subject's last message by the shortest way: the
// state in that message, the messages since the image, or those since the message
// with the last state. After an error the slot is not loaded.
func (e *Entity[S, C, E]) advance(ctx context.Context, s *slot[S, C], last Message) error {
	if !s.loaded || last.Sequence < s.image.sequence {
		s.image = image[S]{}
	}
	s.loaded = false
	s.known = max(s.known, last.Sequence)
	if last.Sequence > s.image.sequence {
		if err := e.catchUp(ctx, s, last); err != nil {
			if !contractError(err) {
				err = fmt.Errorf("%w: %w", contract.ErrUnavailable, err)
			}
			return err
		}
	}
	s.loaded = true
	return nil
}

func (e *Entity[S, C, E]) catchUp(ctx context.Context, s *slot[S, C], last Message) error {
	done, err := e.restore(&s.image, last)
	if done || err != nil {
		return err
	}
	commit := last
	if s.image.sequence == 0 {
		if commit, err = e.lastCommit(ctx, last); err != nil {
			return err
		}
		if commit.Sequence == 0 { // nothing but foreign messages
			s.image.sequence = last.Sequence
			return nil
		}
		if commit.Sequence < last.Sequence {
			if _, err := e.restore(&s.image, commit); err != nil {
				return err
			}
		}
	}
	h, err := contract.ParseCommitHeader(commit.Header)
	if err != nil || h.Snap == contract.SnapSelf || h.Snap <= s.image.sequence {
		h.Snap = 0
	}
	return e.replay(ctx, s, h.Snap, last.Sequence)
}

var errNoState = errors.New("no usable state in this message")

// replay folds messages up to the sequence upTo: those after the image, or with snap
// those after that message, whose state becomes the image. When that cannot be used
// all events are folded.
func (e *Entity[S, C, E]) replay(ctx context.Context, s *slot[S, C], snap, upTo uint64) error {
	if snap == 0 {
		return e.read(ctx, s.subject, s.image.sequence, upTo, func(m Message) error {
			return e.fold(s.subject, &s.image, m)
		})
	}
	begun := false
	err := e.read(ctx, s.subject, snap-1, upTo, func(m Message) error {
		if begun {
			return e.fold(s.subject, &s.image, m)
		}
		begun = true
		done, err := e.restore(&s.image, m)
		if err == nil && !done {
			err = errNoState
		}
		return err
	})
	if errors.Is(err, errNoState) {
		s.image = image[S]{}
		return e.replay(ctx, s, 0, upTo)
	}
	return err
}

var errBehind = errors.New("the replica that answers lags behind")

// read calls f for the subject's messages above after up to upTo, which exists. A
// replica that lags behind is asked again.
func (e *Entity[S, C, E]) read(ctx context.Context, subject string, after, upTo uint64, f func(Message) error) error {
	cause := errBehind
	for try := 0; after < upTo; try++ {
		if try == maxTries || try > 0 && !sleep(ctx, pause(try)) {
			return fmt.Errorf("read %s from message %d to %d: %w", subject, after, upTo, cause)
		}
		for m, err := range e.log.Range(ctx, subject, after) {
			if err != nil {
				cause = err
				break
			}
			if m.Sequence > upTo {
				break
			}
			after = m.Sequence
			if err := f(m); err != nil {
				return err
			}
		}
	}
	return nil
}

// lastCommit returns the newest commit at or below last, or a message with sequence
// 0 when there is none. See the package comment for its cost.
func (e *Entity[S, C, E]) lastCommit(ctx context.Context, last Message) (Message, error) {
	if _, _, err := parseCommit(last); !errors.Is(err, contract.ErrNotCommit) {
		return last, nil
	}
	for span := uint64(searchFirst); ; span *= 8 {
		after := last.Sequence - min(span, last.Sequence)
		var commit Message
		err := e.read(ctx, last.Subject, after, last.Sequence, func(m Message) error {
			if _, _, err := parseCommit(m); !errors.Is(err, contract.ErrNotCommit) {
				commit = m
			}
			return nil
		})
		if err != nil || commit.Sequence > 0 || after == 0 {
			return commit, err
		}
	}
}

// report tells of a message that is no commit.
func (e *Entity[S, C, E]) report(subject string, m Message, why error) {
	e.metrics.foreign.Inc()
	e.tel.Logger.Warn("skipped a message that is no commit", telemetry.KeySubject, subject,
		telemetry.KeySequence, m.Sequence, telemetry.KeyError, why.Error())
}
