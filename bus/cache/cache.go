package cache

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/ordermesh/ordermesh/bus/telemetry"
)

// Source reads what is true of a key: its value and version. Version 0 says that the key
// is unknown. Entity.Get of the event store is one.
type Source[V any] func(ctx context.Context, key string) (value V, version uint64, err error)

// Cache is a read-through cache of one kind of value. It is safe for concurrent use.
// Values are handed out as they are: do not change what a value points to.
type Cache[V any] struct {
	name     string
	source   Source[V]
	opts     options
	tracking *tracking
	metrics  *metrics
	tel      *telemetry.Telemetry
	base     time.Time // of the cache's clock

	near  *otter.Cache[string, *entry[V]]
	loads chan struct{} // a place for each read of the source at once
	puts  chan struct{} // and for each write to the remote level

	mu      sync.Mutex
	flights map[string]*flight[V]
	closed  bool
	running sync.WaitGroup
}

// entry is a value as it was read. It never changes.
type entry[V any] struct {
	value   V
	version uint64 // 0: the key is unknown
	at      mark   // where the reading process was before it read
	read    int64  // cache's clock
	until   int64  // cache's clock
}

// New returns a cache in front of a source; name is its name in metrics and in Redis,
// such as "catalog.products".
func New[V any](tel *telemetry.Telemetry, name string, source Source[V], opts ...Option) (*Cache[V], error) {
	o, err := buildOptions(opts)
	if err != nil {
		return nil, err
	}
	if source == nil || name == "" {
		return nil, errors.New("cache: a cache needs a name and a source")
	}
	near, err := otter.New(&otter.Options[string, *entry[V]]{MaximumSize: o.size})
	if err != nil {
		return nil, err
	}
	c := &Cache[V]{
		name: name, source: source, opts: o, metrics: newMetrics(tel, name), tel: tel, base: time.Now(), near: near,
		loads: make(chan struct{}, o.loads), puts: make(chan struct{}, remoteWrites), flights: map[string]*flight[V]{},
	}
	if o.feed != nil {
		c.tracking = o.feed.register(c.drop, c.near.InvalidateAll)
	} else {
		c.tracking = newTracking(o.remembered)
		c.tracking.alone()
	}
	return c, nil
}

// Get returns the value of a key and its version; version 0 says that the key is
// unknown. When the source fails the answer may be one that has expired, or that was
// read before the feed fell silent, but none that is known to be outdated.
func (c *Cache[V]) Get(ctx context.Context, key string) (V, uint64, error) {
	if e := c.fresh(key); e != nil {
		c.metrics.near(c.now() - e.read)
		return e.value, e.version, nil
	}
	return c.miss(ctx, key, true)
}

// Current is Get for who would rather have an error than an answer that may have been
// overtaken.
func (c *Cache[V]) Current(ctx context.Context, key string) (V, uint64, error) {
	if e := c.fresh(key); e != nil {
		c.metrics.near(c.now() - e.read)
		return e.value, e.version, nil
	}
	return c.miss(ctx, key, false)
}

// fresh is what the process has and may use without asking anybody, nil for nothing.
func (c *Cache[V]) fresh(key string) *entry[V] {
	e, ok := c.near.GetIfPresent(key)
	if !ok || c.now() >= e.until || !c.tracking.live.Load() {
		return nil
	}
	return e
}

// Changed tells that a key has reached a version, as a feed does: what is older is
// dropped and not taken again. A service calls it after its own command, so that who
// has written reads what was written.
func (c *Cache[V]) Changed(key string, version uint64) {
	c.tracking.raise(key, version)
	c.drop(key, version)
}

// Close waits for what runs in the background. A closed cache still answers.
func (c *Cache[V]) Close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.running.Wait()
	c.near.StopAllGoroutines()
}

// now is the cache's clock: it never goes back.
func (c *Cache[V]) now() int64 { return int64(time.Since(c.base)) }

// drop removes what is older than a version. The version is remembered already.
func (c *Cache[V]) drop(key string, version uint64) {
	c.near.ComputeIfPresent(key, func(old *entry[V]) (*entry[V], otter.ComputeOp) {
		if old.version < version {
			return nil, otter.InvalidateOp
		}
		return old, otter.CancelOp
	})
}

// keep puts an entry into the process's own level, unless it is outdated or there is a
// newer one. The order of drop (remember, then remove) and keep (ask and put in one
// step) leaves no gap between them.
func (c *Cache[V]) keep(key string, e *entry[V]) {
	c.near.Compute(key, func(old *entry[V], found bool) (*entry[V], otter.ComputeOp) {
		newer := found && old.version > e.version && c.now() < old.until
		if newer || !c.tracking.admits(key, e.version, e.at) {
			return old, otter.CancelOp
		}
		return e, otter.WriteOp
	})
}
