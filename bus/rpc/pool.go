package rpc

import (
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	// arrivals is how many messages may lie between the connection's reader and the
	// pool's. They are few: one of the pool's readers is free nearly always.
	arrivals = 8192
	// watchEvery is how often the pool looks whether all its readers are stuck in
	// handlers that were expected to be short.
	watchEvery = 10 * time.Millisecond
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
// A few goroutines, the readers, take requests from the channel that the connection
// fills. Before a reader runs a handler that takes long it appoints another in its
// place, so that nobody waits behind it; a short handler it runs on the way, which
// saves two switches between goroutines, a quarter of what a small request costs.
// Should all readers be stuck in handlers that turn out to be long after all, the
// watch appoints others. When limit handlers run, readers only sort: into the queue,
// or to refusal.
//
// Invariant: the queue is empty unless limit handlers run. Goroutines are started
// when they are needed and kept.
type pool struct {
	in     chan *nats.Msg
	stamp  func(*nats.Msg) job
	run    func(job)
	refuse func(job)
	limit  int // handlers
	queue  int // jobs that wait
	wanted int // readers
	wg     sync.WaitGroup

	mu       sync.Mutex
	readers  int
	onTheWay int       // readers in a short handler
	idle     []*worker // the one that ran last is taken first: its stack is warm
	all      []*worker
	waiting  []job // queued, oldest first
	running  int   // handlers
	closed   bool

	watch    *time.Timer
	watching bool   // the timer is set
	runs     uint64 // short handlers begun by readers
	seen     uint64 // runs when the watch last looked
}

// worker is one goroutine; its fields belong to the pool's lock.
type worker struct {
	wake     chan struct{}
	reader   bool
	running  bool
	onTheWay *endpoint // whose handler, expected to be short, the reader is in
}

func newPool(limit, queue int) *pool {
	p := &pool{
		in: make(chan *nats.Msg, arrivals), limit: limit, queue: queue,
		wanted: min(max(2, runtime.GOMAXPROCS(0)/2), 8),
	}
	p.watch = time.AfterFunc(time.Hour, p.look)
	p.watch.Stop()
	return p
}

// start appoints the first readers. The pool ends when in is closed.
func (p *pool) start() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.appoint()
}

// appoint fills the places of readers. The lock is held.
func (p *pool) appoint() {
	for ; p.readers < p.wanted && !p.closed; p.readers++ {
		if n := len(p.idle); n > 0 {
			w := p.idle[n-1]
			p.idle = p.idle[:n-1]
			w.reader = true
			w.wake <- struct{}{}
			continue
		}
		w := &worker{wake: make(chan struct{}, 1), reader: true}
		p.all = append(p.all, w)
		p.wg.Go(func() { p.work(w) })
	}
}

// dismiss makes w no reader. The lock is held.
func (p *pool) dismiss(w *worker) {
	if w.onTheWay != nil {
		w.onTheWay = nil
		p.onTheWay--
	}
	if w.reader {
		w.reader = false
		p.readers--
	}
}

// work is a worker's life: it reads when it is a reader, runs what it got and what
// waits, and rests.
func (p *pool) work(w *worker) {
	ended := false
	defer func() {
		if !ended { // a handler has ended its goroutine
			p.lost(w)
		}
	}()
	for p.rest(w) {
		j, ok := p.read(w)
		for ok {
			p.run(j)
			j, ok = p.next(w)
		}
	}
	ended = true
}

// rest waits until w is a reader; false when the pool has ended.
func (p *pool) rest(w *worker) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if w.reader || p.closed {
		return w.reader
	}
	p.idle = append(p.idle, w)
	p.mu.Unlock()
	<-w.wake
	p.mu.Lock()
	return w.reader
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
	p.end(w)
	return job{}, false
}

// begin decides who reads while w runs j. The lock is held.
func (p *pool) begin(w *worker, j job) {
	w.running = true
	if !w.reader {
		return
	}
	if !j.endpoint.short() {
		p.dismiss(w)
		p.appoint()
		return
	}
	w.onTheWay = j.endpoint
	p.onTheWay++
	p.runs++
	if p.onTheWay == p.readers && !p.watching { // nobody reads
		p.watching = true
		p.watch.Reset(watchEvery)
	}
}

// next returns the job that w runs after it has run one; false when none waits.
func (p *pool) next(w *worker) (job, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w.running = false
	if w.onTheWay != nil {
		w.onTheWay = nil
		p.onTheWay--
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

// look appoints other readers when the present ones have all been in the same
// handlers since the last look.
func (p *pool) look() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.watching = false
	if p.onTheWay < p.readers || p.closed {
		return
	}
	if p.runs == p.seen {
		for _, w := range p.all {
			if w.onTheWay != nil {
				w.onTheWay.stuck()
				p.dismiss(w)
			}
		}
		p.appoint()
		return
	}
	p.seen = p.runs
	p.watching = true
	p.watch.Reset(watchEvery)
}

// lost repairs the counts after a handler has ended w's goroutine.
func (p *pool) lost(w *worker) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if w.running {
		p.running--
	}
	p.dismiss(w)
	p.all = slices.DeleteFunc(p.all, func(other *worker) bool { return other == w })
	p.appoint()
}

// end lets every worker go that has nothing to do.
func (p *pool) end(w *worker) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dismiss(w)
	p.closed = true
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
