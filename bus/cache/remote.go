package cache

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/telemetry"
)

// Remote is a level that processes share. It may lose anything at any time. An
// implementation passes the suite in cachetest and is safe for concurrent use.
type Remote interface {
	// Get returns the record of a key; found is false when there is none, or something
	// that is not a record.
	Get(ctx context.Context, key string) (r Record, found bool, err error)
	// Put stores a record for some time, unless the one that is there is newer: has a
	// higher version, or the same and a higher position. It replaces what is not a
	// record.
	Put(ctx context.Context, key string, r Record, ttl time.Duration) error
}

// Record is a value on its way to and from a remote level.
type Record struct {
	Version  uint64    // 0: the key is unknown
	Position uint64    // in the stream, before the value was read
	Read     time.Time // by the reader's clock, cut to milliseconds; for its age only
	Body     []byte
}

// Newer reports whether r must not be replaced by other.
func (r Record) Newer(other Record) bool {
	return r.Version > other.Version || r.Version == other.Version && r.Position > other.Position
}

const (
	recordTag = "m1"
	recordHex = 16
	// RecordOrder is the length of the beginning of an encoded record: of two records
	// with equal tags the newer one has the greater beginning, byte by byte.
	RecordOrder = len(recordTag) + 2*recordHex
	// RecordHeader is the length of all that is before the body.
	RecordHeader = RecordOrder + recordHex
)

// ErrRecord reports bytes that are not a record.
var ErrRecord = errors.New("not a record of the cache")

// Encode writes the record as text with its numbers first, so that a script in Redis
// can compare two.
func (r Record) Encode() []byte {
	b := make([]byte, 0, RecordHeader+len(r.Body))
	b = fmt.Appendf(b, "%s%016x%016x%016x", recordTag, r.Version, r.Position, uint64(max(r.Read.UnixMilli(), 0)))
	return append(b, r.Body...)
}

// DecodeRecord is the inverse of Encode. The body is a part of b.
func DecodeRecord(b []byte) (Record, error) {
	if len(b) < RecordHeader || string(b[:len(recordTag)]) != recordTag {
		return Record{}, ErrRecord
	}
	var n [3]uint64
	for i := range n {
		from := len(recordTag) + i*recordHex
		for _, c := range b[from : from+recordHex] {
			switch {
			case c >= '0' && c <= '9':
				n[i] = n[i]<<4 | uint64(c-'0')
			case c >= 'a' && c <= 'f':
				n[i] = n[i]<<4 | uint64(c-'a'+10)
			default:
				return Record{}, ErrRecord
			}
		}
	}
	if n[2] > 1<<50 { // no time of day
		return Record{}, ErrRecord
	}
	return Record{n[0], n[1], time.UnixMilli(int64(n[2])), b[RecordHeader:]}, nil //nolint:gosec // it was looked at
}

// boxed makes a JSON object of any value, which is what is read strictly: a record with
// members that this build does not know is a miss.
type boxed[V any] struct {
	Value V `json:"v"`
}

// remoteKey is the key in the remote level; ok is false while it is not known which
// stream the positions belong to.
func (c *Cache[V]) remoteKey(key string) (remote string, ok bool) {
	epoch := c.tracking.epoch.Load()
	if epoch == nil {
		return "", false
	}
	return c.name + ":" + strconv.Itoa(c.opts.schema) + ":" + *epoch + ":" + key, true
}

// fetch reads the remote level; whatever goes wrong is a miss.
func (c *Cache[V]) fetch(ctx context.Context, key string) *entry[V] {
	if c.opts.remote == nil || !c.tracking.live.Load() {
		return nil
	}
	at := c.tracking.at()
	name, ok := c.remoteKey(key)
	if g, can := c.opts.remoteGuard.(closable); !ok || can && !g.IsClosed() {
		c.metrics.trouble[troubleSkipped].Inc()
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, c.opts.remoteTimeout)
	defer cancel()
	var r Record
	var found bool
	err := c.opts.remoteGuard.Do(ctx, func(ctx context.Context) (err error) {
		r, found, err = c.opts.remote.Get(ctx, name)
		return err
	})
	switch {
	case err != nil:
		c.trouble(ctx, troubleRead, err)
		return nil
	case !found || !c.tracking.admits(key, r.Version, mark{at.stream, r.Position}):
		return nil
	}
	return c.unpack(ctx, r, mark{at.stream, r.Position})
}

// unpack turns a record into an entry. Its age is by the clock of another machine, so it
// is believed only as far as it does no harm: what is in the remote level has not
// expired there.
func (c *Cache[V]) unpack(ctx context.Context, r Record, at mark) *entry[V] {
	e := &entry[V]{version: r.Version, at: at}
	if r.Version > 0 {
		var b boxed[V]
		if err := contract.Unmarshal(r.Body, &b); err != nil {
			c.trouble(ctx, troubleGarbage, err)
			return nil
		}
		e.value = b.Value
	}
	life := c.life(r.Version)
	age := min(max(time.Since(r.Read), 0), life-life/10)
	now := c.now()
	e.read, e.until = now-int64(age), now+int64(life-age)
	return e
}

// share puts an entry that came from the source into the remote level, if there is room
// for one more write; nobody waits for it.
func (c *Cache[V]) share(ctx context.Context, key string, e *entry[V]) {
	if c.opts.remote == nil || !c.tracking.admits(key, e.version, e.at) {
		return
	}
	name, ok := c.remoteKey(key)
	ttl := time.Duration(e.until - c.now())
	if !ok || ttl < time.Millisecond {
		return
	}
	select {
	case c.puts <- struct{}{}:
		defer func() { <-c.puts }()
	default:
		c.metrics.trouble[troubleSkipped].Inc()
		return
	}
	r := Record{Version: e.version, Position: e.at.position, Read: c.base.Add(time.Duration(e.read))}
	if e.version > 0 {
		var err error
		if r.Body, err = contract.Marshal(boxed[V]{e.value}); err != nil {
			c.trouble(ctx, troubleWrite, err)
			return
		}
	}
	ctx, cancel := context.WithTimeout(ctx, 2*c.opts.remoteTimeout)
	defer cancel()
	err := c.opts.remoteGuard.Do(ctx, func(ctx context.Context) error { return c.opts.remote.Put(ctx, name, r, ttl) })
	if err != nil {
		c.trouble(ctx, troubleWrite, err)
	}
}

func (c *Cache[V]) trouble(ctx context.Context, kind string, err error) {
	c.metrics.trouble[kind].Inc()
	c.tel.Logger.DebugContext(ctx, "the remote level of a cache", telemetry.KeyCache, c.name, telemetry.KeyReason, kind, telemetry.KeyError, err.Error())
}
