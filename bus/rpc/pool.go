package rpc

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
)

// job is one request on its way through the server.
type job struct {
	endpoint *endpoint
	msg      *nats.Msg
	arrival  time.Time
}

// pool runs jobs in at most limit goroutines with at most bound-limit waiting.
// Goroutines are started when there is work for them and then kept, so that their
// stacks stay grown; an idle service has none.
//
// Invariant: workers >= min(outstanding, limit), so a job never waits for another
// one while a goroutine may still be started.
type pool struct {
	run          func(job)
	queue        chan job // capacity bound: a send never blocks
	limit, bound int32
	outstanding  atomic.Int32 // queued and running
	workers      atomic.Int32
	wg           sync.WaitGroup
}

func newPool(limit, queue int, run func(job)) *pool {
	return &pool{
		run: run, queue: make(chan job, limit+queue),
		limit: int32(limit), bound: int32(limit + queue), //nolint:gosec // checked by the options
	}
}

// submit takes a job, or returns false when limit and queue are full.
func (p *pool) submit(j job) bool {
	n := p.outstanding.Add(1)
	if n > p.bound {
		p.outstanding.Add(-1)
		return false
	}
	p.queue <- j
	for want := min(n, p.limit); ; {
		have := p.workers.Load()
		if have >= want {
			return true
		}
		if p.workers.CompareAndSwap(have, have+1) {
			p.wg.Go(p.worker)
			return true
		}
	}
}

func (p *pool) worker() {
	for j := range p.queue {
		p.one(j)
	}
}

// one runs a job; the count is right even when a handler ends its goroutine.
func (p *pool) one(j job) {
	returned := false
	defer func() {
		p.outstanding.Add(-1)
		if !returned {
			p.workers.Add(-1)
		}
	}()
	p.run(j)
	returned = true
}

// close lets the workers finish what was submitted. No submit may follow.
func (p *pool) close() { close(p.queue) }
