package rpc

import (
	"runtime"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	// arrivals is how many messages may lie between the connection's reader and the
	// pool's; the latter never waits for a handler, so they are few.
	arrivals = 8192
	// watchEvery is how often the pool looks whether its reader is stuck in a
	// handler that was expected to be short.
	watchEvery = time.Millisecond
	// crowd is how many arrivals make it worth to wake another reader although
	// handlers are short, on a machine with processors to spare.
	crowd = 64
)

// job is one request on its way through the server.
type job struct {
	endpoint *endpoint
	msg      *nats.Msg
	arrival  time.Duration // by the server's clock
	queued   bool          // it had to wait for another request
}

// pool runs requests in at most limit goroutines, with at most queue more waiting.
//
// One goroutine at a time, the reader, takes requests from the channel that the
// connection fills. Before it runs a handler that takes long it appoints another
// reader, so that nobody waits behind it; a short handler it runs on the way, which
// saves two switches between goroutines, a quarter of what a small request costs.
// When a handler turns out to be long after all, the watch appoints another reader
// in its place. When limit handlers run, the reader only sorts: into the queue, or
// to refusal.
//
// Invariant: there is always a reader, and the queue is empty unless limit handlers
// run. Goroutines are started when they are needed and kept.
type pool struct {
	in     chan *nats.Msg
	stamp  func(*nats.Msg) job
	run    func(job)
	refuse func(job)
	limit  int
	queue  int
	procs  int
	wg     sync.WaitGroup

	mu      sync.Mutex
	reader  *worker
	idle    []*worker // the one that ran last is taken first: its stack is warm
	waiting []job     // queued, oldest first
	running int       // handlers
	closed  bool

	watch    *time.Timer
	watching bool   // the timer is set
	onTheWay bool   // the reader is in a short handler
	runs     uint64 // short handlers begun by readers
	seen     uint64 // runs when the watch last looked
}

type worker struct{ wake chan struct{} }

func newPool(limit, queue int) *pool {
	p := &pool{
		in: make(chan *nats.Msg, arrivals), limit: limit, queue: queue,
		procs: runtime.GOMAXPROCS(0),
	}
	p.watch = time.AfterFunc(time.Hour, p.look)
	p.watch.Stop()
	return p
}

// start appoints the first reader. The pool ends when in is closed.
func (p *pool) start() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.appoint()
}

// appoint makes another worker the reader. The lock is held.
func (p *pool) appoint() {
	p.onTheWay = false
	if p.closed {
		p.reader = nil
		return
	}
	if n := len(p.idle); n > 0 {
		p.reader, p.idle = p.idle[n-1], p.idle[:n-1]
		p.reader.wake <- struct{}{}
		return
	}
	w := &worker{wake: make(chan struct{}, 1)}
	p.reader = w
	p.wg.Go(func() { p.work(w) })
}

// work is a worker's life: it reads when it is the reader, runs what it got and
// what waits, and rests.
func (p *pool) work(w *worker) {
	running, ended := false, false
	defer func() {
		if !ended { // a handler has ended its goroutine
			p.lost(w, running)
		}
	}()
	for p.rest(w) {
		j, ok := p.read(w)
		for ok {
			running = true
			p.run(j)
			running = false
			j, ok = p.next(w)
		}
	}
	ended = true
}

// rest waits until w is the reader; false when the pool has ended.
func (p *pool) rest(w *worker) bool {
	p.mu.Lock()
	if p.reader == w {
		p.mu.Unlock()
		return true
	}
	if p.closed {
		p.mu.Unlock()
		return false
	}
	p.idle = append(p.idle, w)
	p.mu.Unlock()
	<-w.wake
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.reader == w
}

// read takes requests until there is one that w shall run; false when there will be
// no more.
func (p *pool) read(w *worker) (job, bool) {
	for msg := range p.in {
		j := p.stamp(msg)
		p.mu.Lock()
		switch {
		case p.running < p.limit:
			p.running++
			p.begin(w, j)
			p.mu.Unlock()
			return j, true
		case len(p.waiting) < p.queue:
			j.queued = true
			p.waiting = append(p.waiting, j)
			p.mu.Unlock()
		default:
			p.mu.Unlock()
			p.refuse(j)
		}
	}
	p.end()
	return job{}, false
}

// begin decides who reads while w runs j. The lock is held.
func (p *pool) begin(w *worker, j job) {
	if p.reader != w {
		return
	}
	if !j.endpoint.short() || len(p.in) > crowd && 2*p.running <= p.procs {
		p.appoint()
		return
	}
	p.onTheWay = true
	p.runs++
	if !p.watching {
		p.watching = true
		p.watch.Reset(watchEvery)
	}
}

// next returns the job that w runs after it has run one; false when none waits.
func (p *pool) next(w *worker) (job, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reader == w {
		p.onTheWay = false
	}
	if len(p.waiting) == 0 {
		p.running--
		return job{}, false
	}
	j := p.waiting[0]
	p.waiting[0] = job{}
	if p.waiting = p.waiting[1:]; len(p.waiting) == 0 {
		p.waiting = nil
	}
	p.begin(w, j)
	return j, true
}

// look appoints another reader when the present one has been in the same handler
// since the last look.
func (p *pool) look() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.onTheWay && p.runs == p.seen {
		p.appoint()
	}
	busy := p.onTheWay || p.runs != p.seen
	p.seen = p.runs
	if p.watching = busy && !p.closed; p.watching {
		p.watch.Reset(watchEvery)
	}
}

// lost repairs the counts after a handler has ended w's goroutine.
func (p *pool) lost(w *worker, running bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if running {
		p.running--
	}
	if p.reader == w {
		p.appoint()
	}
}

// end lets every worker go that has nothing to do.
func (p *pool) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed, p.reader = true, nil
	for _, w := range p.idle {
		w.wake <- struct{}{}
	}
	p.idle = nil
	p.watch.Stop()
}

// outstanding is how many requests were accepted and not answered.
func (p *pool) outstanding() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.in) + len(p.waiting) + p.running
}
