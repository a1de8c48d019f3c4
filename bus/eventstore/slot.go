package eventstore

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"time"

	"github.com/ordermesh/ordermesh/bus/contract"
)

const (
	groupCommands  = 64               // commands and reads that share one append at most
	groupTimeout   = 30 * time.Second // for a group with a caller who has no deadline
	retryExhausted = 100 * time.Millisecond
)

// request is one call of Do or Get. Until it is done it belongs to whoever works on
// the entity.
type request[S, C any] struct {
	ctx          context.Context //nolint:containedctx // a queued call, dropped when its caller is gone
	read         bool
	stale        bool // a read that may be behind
	cmd          C
	id           string // the command's
	hash         uint64 // of id
	actor, trace string // header values

	leader bool // the caller works on it and needs no signal
	own    [1]*request[S, C]
	done   chan struct{}

	outcome outcome
	state   S
	version uint64
	err     error
}

func (r *request[S, C]) reset() { *r = request[S, C]{done: r.done} }

// slot is one entity in memory. Everything but the queue belongs to whoever is busy
// with it.
type slot[S, C any] struct {
	subject string

	mu    sync.Mutex
	busy  bool
	queue []*request[S, C]

	loaded bool
	large  bool // the state did not fit beside the last events
	image  image[S]

	known   uint64    // the newest sequence that the subject is known to have
	doubted time.Time // since when the leader knows less
}

// image is an entity as of one sequence of its subject.
type image[S any] struct {
	state    S
	version  uint64
	sequence uint64 // of the subject's last message, which the next append expects
	snap     uint64 // of the last message with folded state, 0 for none
	since    int    // messages after that
	window   window
}

type entered uint8

const (
	queued entered = iota
	first          // the slot was idle: the caller works on it
	full
)

func (s *slot[S, C]) enter(r *request[S, C], limit int) entered {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case !s.busy:
		s.busy = true
		return first
	case len(s.queue) >= limit:
		return full
	}
	s.queue = append(s.queue, r)
	return queued
}

// leave ends the work unless something has queued up.
func (s *slot[S, C]) leave() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.busy = len(s.queue) > 0
	return !s.busy
}

// take moves what waited longest into group, which is empty.
func (s *slot[S, C]) take(group []*request[S, C]) []*request[S, C] {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := min(len(s.queue), groupCommands)
	group = append(group, s.queue[:n]...)
	rest := copy(s.queue, s.queue[n:])
	clear(s.queue[rest:])
	s.queue = s.queue[:rest]
	return group
}

// drain works on an entity until nothing waits. Callers that were just answered get
// the chance to come back before it takes the next group or leaves.
func (e *Entity[S, C, E]) drain(c *cached[slot[S, C]]) {
	defer e.cache.release(c)
	s := &c.value
	group := make([]*request[S, C], 0, groupCommands)
	for {
		group = s.take(group[:0])
		if len(group) > 0 {
			ctx, cancel := groupContext(group)
			e.process(ctx, s, group)
			cancel()
		}
		runtime.Gosched()
		if len(group) == 0 && s.leave() {
			return
		}
	}
}

// groupContext ends when the last caller's time does.
func groupContext[S, C any](group []*request[S, C]) (context.Context, context.CancelFunc) {
	var latest time.Time
	for _, r := range group {
		deadline, ok := r.ctx.Deadline()
		if !ok {
			return context.WithTimeout(context.Background(), groupTimeout)
		}
		if deadline.After(latest) {
			latest = deadline
		}
	}
	return context.WithDeadline(context.Background(), latest)
}

// answer tells the callers of a group that their requests are done.
func (e *Entity[S, C, E]) answer(group []*request[S, C]) {
	for _, r := range group {
		e.metrics.requests[r.outcome].Inc()
		if !r.leader {
			r.done <- struct{}{}
		}
	}
}

// fail answers a whole group with err, or with the end of a caller's own time.
func (e *Entity[S, C, E]) fail(group []*request[S, C], err error) {
	var zero S
	for _, r := range group {
		r.state, r.version, r.err, r.outcome = zero, 0, err, failed
		switch {
		case r.ctx.Err() == nil:
		case errors.Is(err, contract.ErrDeadline):
			r.err = unknown(r.ctx)
		default:
			r.err = over(r.ctx)
		}
	}
	e.answer(group)
}

// dropOver answers and removes the requests whose callers no longer wait.
func (e *Entity[S, C, E]) dropOver(group []*request[S, C]) []*request[S, C] {
	kept := 0
	for i, r := range group {
		if r.ctx.Err() != nil {
			e.fail(group[i:i+1], nil)
			continue
		}
		group[kept] = r
		kept++
	}
	return group[:kept]
}

func anyOver[S, C any](group []*request[S, C]) bool {
	for _, r := range group {
		if r.ctx.Err() != nil {
			return true
		}
	}
	return false
}
