package eventstore

// Queued is how many requests wait for an entity that is being worked on.
func Queued[S, C, E any](e *Entity[S, C, E], id string) int {
	c := e.cache.acquire(id, func(s *slot[S, C]) { s.subject, _ = e.info.Subject(id) })
	defer e.cache.release(c)
	c.value.mu.Lock()
	defer c.value.mu.Unlock()
	return len(c.value.queue)
}

// Cached is how many entities are in memory.
func Cached[S, C, E any](e *Entity[S, C, E]) int { return e.cache.len() }
