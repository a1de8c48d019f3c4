package cache

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Memory is a Remote in the process, for several caches in one process and for tests.
type Memory struct {
	mu      sync.Mutex
	records map[string]memoryRecord
	limit   int
}

type memoryRecord struct {
	Record
	until time.Time
}

// NewMemory returns an empty level for up to limit records.
func NewMemory(limit int) *Memory {
	return &Memory{records: map[string]memoryRecord{}, limit: limit}
}

// Get implements Remote.
func (m *Memory) Get(ctx context.Context, key string) (Record, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, ok := m.records[key]
	if !ok || time.Now().After(r.until) {
		return Record{}, false, ctx.Err()
	}
	return r.Record, true, ctx.Err()
}

// Put implements Remote.
func (m *Memory) Put(ctx context.Context, key string, r Record, ttl time.Duration) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	if old, ok := m.records[key]; ok && old.Newer(r) && now.Before(old.until) {
		return ctx.Err()
	}
	if len(m.records) >= m.limit {
		m.makeRoom(now)
	}
	r.Body, r.Read = slices.Clone(r.Body), r.Read.Truncate(time.Millisecond)
	m.records[key] = memoryRecord{r, now.Add(ttl)}
	return ctx.Err()
}

// makeRoom removes what has expired, and anything if that is nothing.
func (m *Memory) makeRoom(now time.Time) {
	for key, r := range m.records {
		if now.After(r.until) {
			delete(m.records, key)
		}
	}
	for key := range m.records {
		if len(m.records) < m.limit {
			return
		}
		delete(m.records, key)
	}
}
