package flow

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ordermesh/ordermesh/bus"
)

// A refused append says little by itself: on a replicated stream the server also
// refuses while an earlier write to the subject is on its way, even our own. The
// leader's last message decides.
const (
	maxResends = 20
	firstPause = 5 * time.Millisecond
	maxPause   = time.Second
)

// resolve finds out what became of the message under way after its append failed
// with err: it is stored after all, it must be sent again, or somebody else writes.
func (j *journal) resolve(err error) {
	j.unrevoke(err)
	pause := firstPause
	for range maxResends {
		if done := j.look(err); done || !j.pause(pause) {
			return
		}
		pause = min(2*pause, maxPause)
		var sequence uint64
		if sequence, err = j.resend(); err == nil {
			j.stored(sequence)
			return
		}
		j.unrevoke(err)
	}
	if !j.look(err) {
		j.lose(fmt.Errorf("gave up after %d tries: %w", maxResends, err))
	}
}

// look reads the journal's last message and reports whether the matter is settled.
func (j *journal) look(cause error) bool {
	if errors.Is(cause, bus.ErrNoStream) {
		return false
	}
	last, err := j.log.Last(j.ctx, j.subject)
	if err != nil {
		return false
	}
	j.mu.Lock()
	base, n := j.base, j.n
	j.mu.Unlock()
	if last.Sequence == base {
		return false
	}
	if p, err := decodePage(last.Data); err == nil && p.Writer == j.writer && p.N == n {
		j.stored(last.Sequence)
		return true
	}
	j.lose(errFenced)
	return true
}

// resend sends the same bytes once more and waits.
func (j *journal) resend() (uint64, error) {
	type outcome struct {
		sequence uint64
		err      error
	}
	done := make(chan outcome, 1)
	j.mu.Lock()
	base := j.base
	j.mu.Unlock()
	j.log.Append(&j.msg, base, func(sequence uint64, err error) { done <- outcome{sequence, err} })
	select {
	case o := <-done:
		return o.sequence, o.err
	case <-j.ctx.Done():
		return 0, j.ctx.Err()
	}
}

// pause waits and reports whether trying on makes sense.
func (j *journal) pause(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-j.ctx.Done():
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.ctx.Err() == nil && !j.dead
}

// lose ends the writer without an end of the flow.
func (j *journal) lose(err error) {
	j.stop()
	if !errors.Is(j.ctx.Err(), context.Canceled) {
		j.owner.lose(err)
	}
}
