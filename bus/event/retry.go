package event

import (
	"math/rand/v2"
	"sync"
	"time"
)

// givesUp reports whether a message becomes a dead letter: at once when it was
// rejected, else after too many failures. A dependency that is down is a reason only
// when the message is older than the consumer's patience.
func (c *core) givesUp(d *delivery, v verdict) bool {
	if v.kind == kindReject {
		return true
	}
	if v.kind != kindRetry || d.failures < c.opts.attempts {
		return false
	}
	return !unavailable(v.err) || time.Since(time.Unix(0, d.stored)) > c.opts.patience
}

// backoff is the pause after the n-th failure: doubling, capped, a quarter more or
// less so that a crowd does not come back together.
func (c *core) backoff(failures int) time.Duration {
	d := c.opts.backoffMin
	for i := 1; i < failures && d < c.opts.backoffMax; i++ {
		d *= 2
	}
	d = min(d, c.opts.backoffMax)
	return d - d/4 + rand.N(d/2+1)
}

// memory keeps what the server does not: how often a message failed here and which
// of its events are done. The server's own count also has deliveries that no handler
// saw. It forgets at the next start and, beyond its bound, the older half.
type memory struct {
	mu       sync.Mutex
	now, old map[uint64]mark
}

type mark struct{ failures, next int }

const memoryHalf = 8192

func (m *memory) recall(d *delivery) {
	m.mu.Lock()
	defer m.mu.Unlock()
	k, ok := m.now[d.sequence]
	if !ok {
		k = m.old[d.sequence]
	}
	d.failures, d.next = k.failures, k.next
}

func (m *memory) remember(d *delivery) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.now == nil || len(m.now) >= memoryHalf {
		m.now, m.old = make(map[uint64]mark), m.now
	}
	m.now[d.sequence] = mark{d.failures, d.next}
}

func (m *memory) forget(d *delivery) {
	if d.attempt <= 1 {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.now, d.sequence)
	delete(m.old, d.sequence)
}
