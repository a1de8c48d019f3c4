package rpc

import (
	"container/heap"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/ordermesh/ordermesh/bus/contract"
)

// shop is a server with so many hands in a time of its own: a queue without goroutines.
type shop struct {
	queue   queue
	hands   int
	takes   func() time.Duration
	now     time.Duration
	busy    endings
	waits   map[contract.Priority][]time.Duration // of what was served
	refused map[contract.Priority]int
	after   []time.Duration // what the refused were told
}

type endings []time.Duration

func (e endings) Len() int           { return len(e) }
func (e endings) Less(i, j int) bool { return e[i] < e[j] }
func (e endings) Swap(i, j int)      { e[i], e[j] = e[j], e[i] }
func (e *endings) Push(x any)        { *e = append(*e, x.(time.Duration)) }
func (e *endings) Pop() any {
	last := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return last
}

func newShop(hands, most int, takes func() time.Duration) *shop {
	return &shop{queue: queue{most: most, hands: hands}, hands: hands, takes: takes, waits: map[contract.Priority][]time.Duration{}, refused: map[contract.Priority]int{}}
}

func (s *shop) begin(j job) {
	p := j.endpoint.info.Priority
	s.waits[p] = append(s.waits[p], s.now-j.arrival)
	took := s.takes()
	s.queue.served(took)
	heap.Push(&s.busy, s.now+took)
}

// until lets time pass.
func (s *shop) until(t time.Duration) {
	for len(s.busy) > 0 && s.busy[0] <= t {
		s.now = s.busy[0]
		heap.Pop(&s.busy)
		if j, ok := s.queue.take(s.now); ok {
			s.begin(j)
		}
	}
	s.now = t
}

func (s *shop) arrive(e *endpoint) {
	j := job{endpoint: e, arrival: s.now}
	if len(s.busy) < s.hands {
		s.begin(j)
		return
	}
	for _, r := range s.queue.offer(j, s.now) {
		s.refused[r.endpoint.info.Priority]++
		s.after = append(s.after, s.queue.note(s.now))
	}
}

func quantile(list []time.Duration, q float64) time.Duration {
	slices.Sort(list)
	return list[int(q*float64(len(list)-1))]
}

func of(p contract.Priority) *endpoint { return &endpoint{info: contract.MethodInfo{Priority: p}} }

// TestOverloadIsRefused: at ten times what a server can do, it does what it can, what is
// accepted takes less than three times as long as usual, and the rest is told when to come
// back.
func TestOverloadIsRefused(t *testing.T) {
	t.Parallel()
	for _, handler := range []time.Duration{5 * time.Millisecond, 10 * time.Millisecond, 200 * time.Millisecond} {
		const hands, seconds = 16, 30
		s := newShop(hands, 1024, func() time.Duration { return handler*9/10 + rand.N(handler/5) })
		gap, read := handler/hands/10, of(contract.PriorityRead)
		for at := time.Duration(0); at < seconds*time.Second; at += gap {
			s.until(at)
			s.arrive(read)
		}
		s.until(time.Hour)
		waits, capacity := s.waits[contract.PriorityRead], int(hands*seconds*time.Second/handler)
		if p99 := quantile(waits, 0.99); p99 > 2*handler*9/10 {
			t.Errorf("handlers of %v: 99 of 100 wait up to %v", handler, p99)
		}
		if n := len(waits); n < capacity*95/100 || s.queue.length != 0 {
			t.Errorf("handlers of %v: %d are served of %d", handler, n, capacity)
		}
		if after := quantile(s.after, 0.5); s.refused[contract.PriorityRead] < 8*capacity || after < soonest || after > latest {
			t.Errorf("handlers of %v: %d are refused until %v", handler, s.refused[contract.PriorityRead], after)
		}
	}
}

// TestPrioritiesGoFirst: under overload nothing urgent is refused or waits, commands hardly,
// and lists make room.
func TestPrioritiesGoFirst(t *testing.T) {
	t.Parallel()
	s := newShop(4, 64, func() time.Duration { return 10 * time.Millisecond })
	kinds := []contract.Priority{contract.PriorityUrgent, contract.PriorityCommand, contract.PriorityRead, contract.PriorityList}
	shares := []float64{0.5, 0.4, 0.4, 3} // of the capacity, 400 a second
	due := make([]float64, len(kinds))
	for at := time.Duration(0); at < 20*time.Second; at += time.Millisecond {
		s.until(at)
		for i, share := range shares {
			for due[i] += share * 0.4; due[i] >= 1; due[i]-- {
				s.arrive(of(kinds[i]))
			}
		}
	}
	s.until(time.Hour)
	for i, most := range []float64{0, 0.02, 1, 1} { // refused of each kind
		served, refused := len(s.waits[kinds[i]]), s.refused[kinds[i]]
		if part := float64(refused) / float64(served+refused); part > most || most == 1 && part < 0.2 {
			t.Errorf("%s: %d served, %d refused", kinds[i], served, refused)
		}
	}
	if p99 := quantile(s.waits[contract.PriorityUrgent], 0.99); p99 > 10*time.Millisecond {
		t.Errorf("what is urgent waits %v", p99)
	}
}

// TestBurstsAreAbsorbed: a queue that empties now and then takes in as much as can be
// served in a moment.
func TestBurstsAreAbsorbed(t *testing.T) {
	t.Parallel()
	s := newShop(8, 1024, func() time.Duration { return 2 * time.Millisecond })
	for at := time.Duration(0); at < 20*time.Second; at += 200 * time.Millisecond {
		s.until(at)
		for range 300 { // 75 ms of work
			s.arrive(of(contract.PriorityRead))
		}
	}
	s.until(time.Hour)
	if len(s.refused) > 0 || len(s.waits[contract.PriorityRead]) != 30_000 {
		t.Errorf("%d served, %v refused", len(s.waits[contract.PriorityRead]), s.refused)
	}
}
