package view

import (
	"context"
	"slices"
	"sync"
)

// Memory is a Store in memory: each process has its own and rebuilds it at start.
// Rows are kept as they are: do not change what a row points to.
type Memory[R any] struct {
	mu         sync.RWMutex
	checkpoint Checkpoint
	rows       map[string]memoryRow[R]
	lists      map[string]*sorted
}

type memoryRow[R any] struct {
	entry  Entry[R]
	places []Place
}

// NewMemory returns an empty store.
func NewMemory[R any]() *Memory[R] {
	return &Memory[R]{rows: map[string]memoryRow[R]{}, lists: map[string]*sorted{}}
}

// Checkpoint implements Store.
func (m *Memory[R]) Checkpoint(context.Context) (Checkpoint, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.checkpoint, nil
}

// Rows implements Store.
func (m *Memory[R]) Rows(_ context.Context, keys ...string) (map[string]Entry[R], error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	found := make(map[string]Entry[R], len(keys))
	for _, key := range keys {
		if r, ok := m.rows[key]; ok {
			found[key] = r.entry
		}
	}
	return found, nil
}

// Apply implements Store.
func (m *Memory[R]) Apply(_ context.Context, from, to Checkpoint, changes []Change[R]) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.checkpoint.same(from) || to.Sequence < from.Sequence {
		return ErrMoved
	}
	for _, c := range changes {
		m.place(c.Key, m.rows[c.Key].places, c.Places)
		m.rows[c.Key] = memoryRow[R]{c.Entry, c.Places}
	}
	to.Generation = from.Generation
	m.checkpoint = to
	return nil
}

// place moves a row from its old places to its new ones.
func (m *Memory[R]) place(key string, old, places []Place) {
	if slices.Equal(old, places) {
		return
	}
	for _, p := range old {
		list := m.lists[p.List]
		if list.remove(Position{p.Order, key}); list.empty() {
			delete(m.lists, p.List)
		}
	}
	for _, p := range places {
		list := m.lists[p.List]
		if list == nil {
			list = &sorted{}
			m.lists[p.List] = list
		}
		list.add(Position{p.Order, key})
	}
}

// Page implements Store.
func (m *Memory[R]) Page(_ context.Context, q Query) ([]Placed[R], error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	list := m.lists[q.List]
	if list == nil || q.Limit <= 0 {
		return nil, nil
	}
	var page []Placed[R]
	for p := range list.of(q) {
		page = append(page, Placed[R]{m.rows[p.Key].entry, p.Order})
		if len(page) == q.Limit {
			break
		}
	}
	return page, nil
}

// Reset implements Store.
func (m *Memory[R]) Reset(context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.checkpoint = Checkpoint{Generation: m.checkpoint.Generation + 1}
	m.rows, m.lists = map[string]memoryRow[R]{}, map[string]*sorted{}
	return nil
}
