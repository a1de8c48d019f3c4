package lock

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Memory is a Locker in this process.
type Memory struct {
	mu   sync.Mutex
	held map[string]*lease
}

type lease struct {
	m     *Memory
	name  string
	until time.Time
}

// NewMemory returns a locker whose locks are free.
func NewMemory() *Memory { return &Memory{held: map[string]*lease{}} }

// ErrTTL refuses a lease without time.
var ErrTTL = errors.New("a lease needs at least a millisecond")

// Acquire implements Locker.
func (m *Memory) Acquire(ctx context.Context, name string, ttl time.Duration) (Lease, error) {
	if ttl < time.Millisecond {
		return nil, ErrTTL
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	if old := m.held[name]; old != nil && now.Before(old.until) {
		return nil, ErrHeld
	}
	l := &lease{m, name, now.Add(ttl)}
	m.held[name] = l
	return l, ctx.Err()
}

// Extend implements Lease.
func (l *lease) Extend(ctx context.Context, ttl time.Duration) error {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	now := time.Now()
	if l.m.held[l.name] != l || !now.Before(l.until) {
		return ErrLost
	}
	l.until = now.Add(ttl)
	return ctx.Err()
}

// Release implements Lease.
func (l *lease) Release(context.Context) error {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	if l.m.held[l.name] == l {
		delete(l.m.held, l.name)
	}
	return nil
}
