package limit

import (
	"context"
	"sync"
	"time"
)

// sweepAt is how many keys a Memory keeps before it looks for those that it may forget.
const sweepAt = 1024

// Memory is a Limiter in this process.
type Memory struct {
	mu    sync.Mutex
	full  map[string]time.Time
	sweep int // keys at which to look again
}

// NewMemory returns a limiter that knows no key yet.
func NewMemory() *Memory { return &Memory{full: map[string]time.Time{}, sweep: sweepAt} }

// Take implements Limiter.
func (m *Memory) Take(ctx context.Context, key string, r Rate, n int) (Verdict, error) {
	every, burst, err := r.Check(n)
	if err != nil {
		return Verdict{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	v, next := Decide(now, m.full[key], every, burst, n)
	if v.Allowed {
		m.full[key] = next
		m.forget(now)
	}
	return v, ctx.Err()
}

// forget removes keys whose bursts are whole again, when there have come to be many.
func (m *Memory) forget(now time.Time) {
	if len(m.full) < m.sweep {
		return
	}
	for key, full := range m.full {
		if !full.After(now) {
			delete(m.full, key)
		}
	}
	m.sweep = max(sweepAt, 2*len(m.full))
}
