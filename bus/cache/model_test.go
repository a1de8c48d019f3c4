package cache

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ordermesh/ordermesh/bus/telemetry"
)

// world is a stream, processes that hear of it late, and a remote level that loses
// what it has.
type world struct {
	mu       sync.Mutex
	versions map[string]uint64
	events   []string // keys; the position is the index + 1
	remote   *Memory
	found    atomic.Int64
}

type process struct {
	*Cache[string]
	heard sync.Map // key → *atomic.Uint64: the version that it has heard of
	next  int
}

func (w *world) write(key string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.versions[key]++
	w.events = append(w.events, key)
}

// read is a slow source: what it has read may be old when it arrives.
func (w *world) read(_ context.Context, key string) (string, uint64, error) {
	w.mu.Lock()
	version := w.versions[key]
	w.mu.Unlock()
	wander()
	return valueAt(key, version), version, nil
}

func wander() {
	if rand.N(4) == 0 {
		time.Sleep(rand.N(200 * time.Microsecond)) //nolint:forbidigo // what it is about: anything may happen meanwhile
	}
}

// Get and Put of the remote level are slow, too, and it forgets.
func (w *world) Get(ctx context.Context, key string) (Record, bool, error) {
	r, found, err := w.remote.Get(ctx, key)
	if wander(); found {
		w.found.Add(1)
	}
	return r, found, err
}

func (w *world) Put(ctx context.Context, key string, r Record, ttl time.Duration) error {
	wander()
	if rand.N(10) == 0 {
		w.remote.mu.Lock()
		clear(w.remote.records)
		w.remote.mu.Unlock()
	}
	return w.remote.Put(ctx, key, r, ttl)
}

// hear lets a process hear of some more events, as a feed does.
func (p *process) hear(w *world, seen map[string]uint64) {
	w.mu.Lock()
	events := w.events[p.next:min(len(w.events), p.next+rand.N(3)+1)]
	w.mu.Unlock()
	for _, key := range events {
		p.next++
		seen[key]++
		p.tracking.raise(key, seen[key])
		p.drop(key, seen[key])
		p.tracking.move(uint64(p.next))
		mark, _ := p.heard.LoadOrStore(key, &atomic.Uint64{})
		mark.(*atomic.Uint64).Store(seen[key])
	}
}

// TestNoReadIsOlderThanWhatItsProcessHasHeard lets processes read, write, hear late,
// restart and forget at once: a read that begins after its process has heard of a
// version never answers an older one.
func TestNoReadIsOlderThanWhatItsProcessHasHeard(t *testing.T) {
	t.Parallel()
	w := &world{versions: map[string]uint64{}, remote: NewMemory(1000)}
	begin := time.Now()
	var reads, kept atomic.Int64
	over := func() bool {
		enough := reads.Load() > 3000 && kept.Load() > 100 && w.found.Load() > 100
		return enough || time.Since(begin) > 20*time.Second || t.Failed()
	}
	var all sync.WaitGroup
	all.Go(func() {
		for !over() {
			w.write(fmt.Sprint("k", rand.N(5)))
			wander()
		}
	})
	for range 3 {
		all.Go(func() {
			for !over() {
				w.live(t, over, &reads, &kept)
			}
		})
	}
	all.Wait()
	if reads.Load() < 1000 || kept.Load() == 0 || w.found.Load() == 0 {
		t.Errorf("%d reads, %d with something near, %d with something remote: the test tests nothing", reads.Load(), kept.Load(), w.found.Load())
	}
}

// live is one life of a process: it starts at the end of the stream, knowing nothing of
// what was before.
func (w *world) live(t *testing.T, over func() bool, reads, kept *atomic.Int64) {
	t.Helper()
	c, err := New(telemetry.Nop(), "test", w.read, WithRemote(w))
	if err != nil {
		t.Error(err)
		return
	}
	defer c.Close()
	p := &process{Cache: c}
	w.mu.Lock()
	p.next = len(w.events)
	seen := map[string]uint64{}
	maps.Copy(seen, w.versions)
	w.mu.Unlock()
	c.tracking.begin("", uint64(p.next))
	c.tracking.stream, c.tracking.limit = 1, 8 // it forgets soon
	end := time.Now().Add(50 * time.Millisecond)
	ended := func() bool { return over() || time.Now().After(end) }
	var all sync.WaitGroup
	all.Go(func() {
		for !ended() {
			p.hear(w, seen)
			wander()
		}
	})
	for range 4 {
		all.Go(func() {
			for !ended() {
				p.check(t, fmt.Sprint("k", rand.N(5)), kept)
				reads.Add(1)
			}
		})
	}
	all.Wait()
}

func (p *process) check(t *testing.T, key string, kept *atomic.Int64) {
	t.Helper()
	var least uint64
	if mark, ok := p.heard.Load(key); ok {
		least = mark.(*atomic.Uint64).Load()
	}
	if _, ok := p.near.GetIfPresent(key); ok {
		kept.Add(1)
	}
	value, version, err := p.Get(t.Context(), key)
	if err != nil || version < least || value != valueAt(key, version) {
		t.Errorf("%s: %q at version %d, %v; the process has heard of %d", key, value, version, err, least)
	}
}

// troubled is a remote level with something wrong.
type troubled struct {
	get, put error
	record   Record
	found    bool
	slow     bool
	gets     atomic.Int64
	puts     atomic.Int64
}

func (r *troubled) Get(ctx context.Context, _ string) (Record, bool, error) {
	r.gets.Add(1)
	if r.slow {
		<-ctx.Done()
		return Record{}, false, ctx.Err()
	}
	return r.record, r.found, r.get
}

func (r *troubled) Put(ctx context.Context, _ string, _ Record, _ time.Duration) error {
	r.puts.Add(1)
	if r.slow {
		<-ctx.Done()
		return ctx.Err()
	}
	return r.put
}

func TestTroubleWithTheRemoteLevelIsAMiss(t *testing.T) {
	t.Parallel()
	for name, r := range map[string]*troubled{
		"down":          {get: errors.New("connection refused"), put: errors.New("connection refused")},
		"full":          {put: errors.New("OOM command not allowed")},
		"garbage":       {found: true, record: Record{Version: 9, Body: []byte("{")}},
		"another value": {found: true, record: Record{Version: 9, Body: []byte(`{"v":"a","w":1}`)}},
		"silent":        {slow: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newTruth()
			c := newCache(t, s, WithRemote(r), WithRemoteTimeout(5*time.Millisecond))
			const keys = 50
			for i := range keys {
				key := fmt.Sprint("k", i)
				s.set(key, 1)
				want(t, c, key, 1)
				want(t, c, key, 1)
			}
			wantReads(t, s, keys)
			c.Close()
			if n := r.gets.Load(); (r.get != nil || r.slow) && n > 2*breakerFailures {
				t.Errorf("a level that is %s was asked %d times", name, n)
			}
		})
	}
}

func TestRecords(t *testing.T) {
	t.Parallel()
	r := Record{Version: 1 << 60, Position: 7, Read: time.UnixMilli(1_700_000_000_123), Body: []byte(`"x"`)}
	got, err := DecodeRecord(r.Encode())
	if err != nil || got.Version != r.Version || got.Position != r.Position || !got.Read.Equal(r.Read) || string(got.Body) != `"x"` {
		t.Errorf("%+v, %v", got, err)
	}
	older := Record{Version: 1<<60 - 1, Position: 1 << 62}
	if string(older.Encode()[:RecordOrder]) >= string(r.Encode()[:RecordOrder]) || !r.Newer(older) || older.Newer(r) {
		t.Error("the order of records is not that of their beginnings")
	}
	for _, bad := range []string{"", "m1", "m2" + string(r.Encode()[2:]), string(r.Encode()[:49]), "m1" + "G" + string(r.Encode()[3:]), "*1\r\n$4\r\nPING\r\n"} {
		if _, err := DecodeRecord([]byte(bad)); !errors.Is(err, ErrRecord) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func FuzzDecodeRecord(f *testing.F) {
	f.Add(Record{Version: 3, Position: 4, Read: time.UnixMilli(5), Body: []byte("{}")}.Encode())
	f.Add([]byte("m1"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := DecodeRecord(b)
		if err == nil && string(r.Encode()) != string(b) {
			t.Errorf("%q came back as %q", b, r.Encode())
		}
	})
}

func BenchmarkNearHit(b *testing.B) {
	s := newTruth()
	s.set("TEA-001", 1)
	c, err := New(telemetry.Nop(), "bench", s.read)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	ctx := b.Context()
	b.ReportAllocs()
	for b.Loop() {
		if _, version, err := c.Get(ctx, "TEA-001"); err != nil || version != 1 {
			b.Fatal(version, err)
		}
	}
}
