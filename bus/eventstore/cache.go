package eventstore

import (
	"hash/maphash"
	"sync"
)

// cache holds the slots of the entities used last. A slot in use is never dropped,
// so that an entity has one slot per process. Shards have a lock each.
type cache[T any] struct {
	seed   maphash.Seed
	shards []cacheShard[T]
	limit  int // slots per shard
}

type cacheShard[T any] struct {
	mu    sync.Mutex
	slots map[string]*cached[T]
	idle  cached[T] // ring of slots that nobody uses; next is the one idle for longest
	_     [24]byte
}

// cached is a slot with its place in the cache, guarded by its shard's lock.
type cached[T any] struct {
	value      T
	key        string
	shard      *cacheShard[T]
	users      int
	prev, next *cached[T]
}

func newCache[T any](size int) *cache[T] {
	n := 1
	for n < 64 && size/(2*n) >= 16 {
		n *= 2
	}
	c := &cache[T]{seed: maphash.MakeSeed(), shards: make([]cacheShard[T], n), limit: max(1, size/n)}
	for i := range c.shards {
		s := &c.shards[i]
		s.slots = map[string]*cached[T]{}
		s.idle.prev, s.idle.next = &s.idle, &s.idle
	}
	return c
}

// acquire returns the key's slot for use until release; make fills a new one.
func (c *cache[T]) acquire(key string, fill func(*T)) *cached[T] {
	s := &c.shards[maphash.String(c.seed, key)&uint64(len(c.shards)-1)] //nolint:gosec // a small positive number
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.slots[key]
	if !ok {
		e = &cached[T]{key: key, shard: s}
		fill(&e.value)
		s.slots[key] = e
		s.evict(c.limit)
	}
	if e.users++; e.users == 1 && ok {
		e.unlink()
	}
	return e
}

// hold adds a user to a slot that is in use.
func (e *cached[T]) hold() {
	e.shard.mu.Lock()
	defer e.shard.mu.Unlock()
	e.users++
}

// release ends one use.
func (c *cache[T]) release(e *cached[T]) {
	s := e.shard
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.users--; e.users > 0 {
		return
	}
	e.prev, e.next = s.idle.prev, &s.idle
	e.prev.next, s.idle.prev = e, e
	s.evict(c.limit)
}

// evict drops the slots that were idle for longest while there are too many.
func (s *cacheShard[T]) evict(limit int) {
	for len(s.slots) > limit && s.idle.next != &s.idle {
		oldest := s.idle.next
		oldest.unlink()
		delete(s.slots, oldest.key)
	}
}

func (e *cached[T]) unlink() {
	e.prev.next, e.next.prev = e.next, e.prev
	e.prev, e.next = nil, nil
}

// len counts the slots, for tests.
func (c *cache[T]) len() int {
	n := 0
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		n += len(s.slots)
		s.mu.Unlock()
	}
	return n
}
