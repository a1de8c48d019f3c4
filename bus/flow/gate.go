package flow

import (
	"fmt"
	"math"
	"sync"
)

// defaultCapacity is how many flows a worker executes at once.
const defaultCapacity = 4096

// WithCapacity sets how many flows the worker executes at once; the default is 4096.
// Flows that wait for a time, a signal, a child or their next attempt are not counted.
// When there are more, the names take turns: a thousand inputs of one flow do not delay
// the first of another.
func WithCapacity(n int) Option {
	return func(o *workerOptions) error {
		if n < 1 {
			return fmt.Errorf("flow: a capacity of %d: it must be 1 or more", n)
		}
		o.capacity = n
		return nil
	}
}

// WithMaxRunning bounds how many instances of the flow, of all versions together, a
// worker executes at once: for flows whose steps are heavy, or whose callee takes only
// so much. Where versions differ, the highest decides.
func WithMaxRunning(n int) DefineOption {
	return func(s *spec) {
		if n < 1 {
			panic(fmt.Sprintf("flow: at most %d running instances of %s: it must be 1 or more", n, s.name))
		}
		s.maxRunning = n
	}
}

// gate is the flow control of a worker. Whoever finds room passes for the price of a
// lock; otherwise there is a queue for each flow name, and the queues take turns.
type gate struct {
	mu    sync.Mutex
	free  int
	lanes map[string]*lane
	order []*lane // every lane; whose turn it is
	turn  int
	queue int // how many wait in all lanes
}

// lane is one flow name.
type lane struct {
	free  int
	queue []chan struct{} // closed when it is its turn
}

func newGate(capacity int, flows catalogue) *gate {
	g := &gate{free: capacity, lanes: map[string]*lane{}}
	for v := range flows {
		if g.lanes[v.name] != nil {
			continue
		}
		l := &lane{free: math.MaxInt}
		if s, ok := flows.newest(v.name, 0); ok && s.maxRunning > 0 {
			l.free = s.maxRunning
		}
		g.lanes[v.name] = l
		g.order = append(g.order, l)
	}
	return g
}

// enter takes a slot if there is one; otherwise it returns a place in the queue.
func (g *gate) enter(name string) (place chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	l := g.lanes[name]
	if g.free > 0 && l.free > 0 { // nobody who could take it waits
		g.free--
		l.free--
		return nil
	}
	place = make(chan struct{})
	l.queue = append(l.queue, place)
	g.queue++
	return place
}

// leave gives a slot back, or up the place in the queue.
func (g *gate) leave(name string, place chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	l := g.lanes[name]
	for i, other := range l.queue {
		if other == place && place != nil {
			l.queue = append(l.queue[:i], l.queue[i+1:]...)
			g.queue--
			return
		}
	}
	g.free++
	l.free++
	g.admit()
}

// admit lets the next ones pass, one of each name in turn; g.mu is held.
func (g *gate) admit() {
	for looked := 0; g.queue > 0 && g.free > 0 && looked < len(g.order); {
		l := g.order[g.turn]
		g.turn = (g.turn + 1) % len(g.order)
		if looked++; len(l.queue) == 0 || l.free == 0 {
			continue
		}
		close(l.queue[0])
		l.queue = l.queue[1:]
		g.queue--
		g.free--
		l.free--
		looked = 0
	}
}

// admit waits until the instance may execute. It is false when the instance has to
// leave instead.
func (in *instance) admit() bool {
	if in.inside {
		return true
	}
	g := in.eng.gate
	place := g.enter(in.name)
	if place != nil && !in.queueUp(g, place) {
		return false
	}
	in.inside = true
	in.eng.metrics.of(in.name).running.Inc()
	return true
}

func (in *instance) queueUp(g *gate, place chan struct{}) bool {
	queued := in.eng.metrics.of(in.name).queued
	queued.Inc()
	defer queued.Dec()
	for in.halted() == haltNever {
		select {
		case <-place:
			return true
		case <-in.ctx.Done():
			in.stop(haltNow)
		case <-in.wake:
		}
	}
	g.leave(in.name, place)
	return false
}

// stepAside lets another instance execute while this one waits, or is over.
func (in *instance) stepAside() {
	if in.inside {
		in.inside = false
		in.eng.metrics.of(in.name).running.Dec()
		in.eng.gate.leave(in.name, nil)
	}
}
