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
	arrivals = 32768
	// crowd is how many of them a reader sorts before it runs one: whoever waits behind a
	// handler there cannot be refused in time.
	crowd = 256
	// backlog is how many of them are too many: the readers do not get the processor often
	// enough, and what is not urgent is refused, which is quicker than to serve it.
	backlog = 4096
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
// watch appoints others. When limit handlers run, readers only sort: into the
// queue, or to refusal (see queue).
//
// Invariant: the queue is empty unless limit handlers run. Goroutines are started when they
// are needed and kept.
type pool struct {
	in     chan *nats.Msg
	stamp  func(*nats.Msg) job
	run    func(job) time.Duration  // what the handler took
	refuse func(job, time.Duration) // and when to come back
	clock  func() time.Duration
	limit  int // handlers
	wanted int // readers
	wg     sync.WaitGroup

	mu       sync.Mutex
	readers  int
	onTheWay int       // readers in a short handler
	idle     []*worker // the one that ran last is taken first: its stack is warm
	all      []*worker
	queue    queue
	running  int // handlers
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
	helper   bool // takes from the queue, and is counted as running already
	running  bool
	onTheWay *endpoint // whose handler, expected to be short, the reader is in
}

func newPool(limit, most int) *pool {
	p := &pool{
		in: make(chan *nats.Msg, arrivals), limit: limit, queue: queue{most: most, hands: limit},
		wanted: min(max(2, runtime.GOMAXPROCS(0)/2), 8),
	}
	p.watch = time.AfterFunc(time.Hour, p.patrol)
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
		p.employ(func(w *worker) { w.reader = true })
	}
}

// employ gives a worker that rests, or a new one, something to do. The lock is held.
func (p *pool) employ(as func(*worker)) {
	if n := len(p.idle); n > 0 {
		w := p.idle[n-1]
		p.idle = p.idle[:n-1]
		as(w)
		w.wake <- struct{}{}
		return
	}
	w := &worker{wake: make(chan struct{}, 1)}
	as(w)
	p.all = append(p.all, w)
	p.wg.Go(func() { p.work(w) })
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
		j, ok := p.first(w)
		for ok {
			j, ok = p.next(w, p.run(j))
		}
	}
	ended = true
}

// rest waits until w is a reader or there is a job for it; false when the pool has ended.
func (p *pool) rest(w *worker) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if w.reader || w.helper || p.closed {
		return w.reader || w.helper
	}
	p.idle = append(p.idle, w)
	p.mu.Unlock()
	<-w.wake
	p.mu.Lock()
	return w.reader || w.helper
}

// first is the job with which w begins.
func (p *pool) first(w *worker) (job, bool) {
	p.mu.Lock()
	if !w.helper {
		p.mu.Unlock()
		return p.read(w)
	}
	defer p.mu.Unlock()
	w.helper = false
	j, ok := p.queue.take(p.clock())
	if !ok {
		p.running--
		return j, false
	}
	p.begin(w, j)
	return j, true
}

// read takes requests until there is one that w shall run; false when there will be
// no more.
func (p *pool) read(w *worker) (job, bool) {
	for msg := range p.in {
		j := p.stamp(msg)
		p.mu.Lock()
		crowded := len(p.in)
		if p.running < p.limit && crowded < crowd {
			p.running++
			p.begin(w, j)
			p.mu.Unlock()
			return j, true
		}
		refused := p.sort(j, crowded)
		p.mu.Unlock()
		p.turnAway(refused)
	}
	p.end(w)
	return job{}, false
}

// sort lets a request wait, and returns those that cannot. The lock is held.
func (p *pool) sort(j job, crowded int) (refused []job) {
	if crowded > backlog && line(&j) < urgent {
		return []job{j}
	}
	refused = p.queue.offer(j, j.arrival)
	if p.running < p.limit && p.queue.length > 0 {
		p.running++
		p.employ(func(w *worker) { w.helper = true })
	}
	return refused
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
func (p *pool) next(w *worker, took time.Duration) (job, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w.running = false
	p.queue.served(took)
	if w.onTheWay != nil {
		w.onTheWay = nil
		p.onTheWay--
	}
	if p.queue.length == 0 {
		p.running--
		return job{}, false
	}
	j, _ := p.queue.take(p.clock())
	p.begin(w, j)
	return j, true
}

// turnAway refuses requests for which there is no room.
func (p *pool) turnAway(refused []job) {
	for _, j := range refused {
		p.mu.Lock()
		after := p.queue.note(p.clock())
		p.mu.Unlock()
		p.refuse(j, after)
	}
}

// patrol appoints other readers when the present ones have all been in the same
// handlers since the last look.
func (p *pool) patrol() {
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
	return len(p.in) + p.queue.length + p.running
}
