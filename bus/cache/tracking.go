package cache

import (
	"sync"
	"sync/atomic"
	"time"
)

// mark is where a process was in its stream when it read a value.
type mark struct {
	stream   uint32 // counts the streams that the feed has followed, one after the other
	position uint64
}

// tracking is what a process knows of the versions of keys: everything since its
// horizon, and nothing of before.
type tracking struct {
	live  atomic.Bool            // the feed is there and has caught up
	epoch atomic.Pointer[string] // names the stream that positions belong to; nil before it is known
	limit int                    // keys to remember, twice

	mu       sync.Mutex
	stream   uint32
	position uint64 // every event up to here was heard of
	horizon  uint64 // versions reached after it are remembered
	young    map[string]uint64
	old      map[string]uint64
	since    uint64 // young has what was reached after this position
	turned   time.Time
}

// rememberedFor is how long versions are remembered at least while there is room, twice
// as long at most. Nothing in the remote level lives longer by default.
const rememberedFor = 5 * time.Minute

func newTracking(limit int) *tracking {
	return &tracking{limit: limit, young: map[string]uint64{}, turned: time.Now()}
}

// alone makes it the tracking of a cache without a feed: what it knows it is told by
// Changed.
func (t *tracking) alone() {
	t.begin("", 0)
	t.live.Store(true)
}

// begin forgets everything and starts at a position of a stream.
func (t *tracking) begin(epoch string, position uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.epoch.Store(&epoch)
	t.stream++
	t.position, t.horizon, t.since = position, position, position
	t.young, t.old, t.turned = map[string]uint64{}, nil, time.Now()
}

// raise remembers that a key has reached a version.
func (t *tracking) raise(key string, version uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.reachedLocked(key) >= version {
		return
	}
	if len(t.young) >= t.limit || time.Since(t.turned) > rememberedFor {
		t.turn()
	}
	t.young[key] = version
}

// turn forgets the older half: values that were read before are not taken any more.
func (t *tracking) turn() {
	t.horizon, t.since = t.since, t.position
	t.young, t.old, t.turned = make(map[string]uint64, len(t.young)), t.young, time.Now()
}

// move says that everything up to a position was heard of.
func (t *tracking) move(position uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.position = max(t.position, position)
}

// at is where the process is now.
func (t *tracking) at() mark {
	t.mu.Lock()
	defer t.mu.Unlock()
	return mark{t.stream, t.position}
}

// reached is the version that a key is known to have reached, 0 when nothing is known.
func (t *tracking) reached(key string) uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.reachedLocked(key)
}

func (t *tracking) reachedLocked(key string) uint64 { return max(t.young[key], t.old[key]) }

// admits reports whether a value that was read at a mark may be taken.
func (t *tracking) admits(key string, version uint64, at mark) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return at.stream == t.stream && at.position >= t.horizon && version >= t.reachedLocked(key)
}
