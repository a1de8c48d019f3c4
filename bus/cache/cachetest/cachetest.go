// Package cachetest is the suite that every cache.Remote passes.
package cachetest

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ordermesh/ordermesh/bus/cache"
)

const long = time.Minute

// Run runs the suite; open returns an empty level.
func Run(t *testing.T, open func(*testing.T) cache.Remote) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, cache.Remote){
		"what was put is there": there, "the newer one stays": newer, "it expires": expires, "writers race": race,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}

func record(version, position uint64) cache.Record {
	return cache.Record{Version: version, Position: position, Read: time.Now(), Body: fmt.Appendf(nil, "%d/%d", version, position)}
}

func put(t *testing.T, r cache.Remote, key string, rec cache.Record) {
	t.Helper()
	if err := r.Put(t.Context(), key, rec, long); err != nil {
		t.Fatal(err)
	}
}

func want(t *testing.T, r cache.Remote, key string, rec cache.Record) {
	t.Helper()
	got, found, err := r.Get(t.Context(), key)
	if err != nil || !found || got.Version != rec.Version || got.Position != rec.Position || string(got.Body) != string(rec.Body) ||
		!got.Read.Equal(rec.Read.Truncate(time.Millisecond)) {
		t.Errorf("%q: %+v, %v, %v; want %+v", key, got, found, err, rec)
	}
}

func there(t *testing.T, r cache.Remote) {
	t.Helper()
	for _, key := range []string{"a", "b", "a:b", "", "ü\x00\r\n", strings.Repeat("k", 300)} {
		if _, found, err := r.Get(t.Context(), key); found || err != nil {
			t.Errorf("%q in an empty level: %v, %v", key, found, err)
		}
		rec := record(3, uint64(len(key)))
		put(t, r, key, rec)
		want(t, r, key, rec)
	}
	empty := cache.Record{Read: time.Now()}
	put(t, r, "nothing", empty)
	want(t, r, "nothing", empty)
	binary := cache.Record{Version: 1, Read: time.Now(), Body: []byte("\x00\xff\r\n$3")}
	put(t, r, "binary", binary)
	want(t, r, "binary", binary)
}

func newer(t *testing.T, r cache.Remote) {
	t.Helper()
	ninth, tenth := record(9, 90), record(10, 50)
	put(t, r, "a", ninth)
	put(t, r, "a", tenth)
	want(t, r, "a", tenth)
	put(t, r, "a", ninth)
	put(t, r, "a", record(10, 49))
	put(t, r, "a", record(0, 1<<60))
	want(t, r, "a", tenth)
	later := record(10, 1<<61)
	put(t, r, "a", later)
	want(t, r, "a", later)
}

func expires(t *testing.T, r cache.Remote) {
	t.Helper()
	if err := r.Put(t.Context(), "a", record(7, 7), 20*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	for {
		_, found, err := r.Get(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		if !found {
			break
		}
		<-time.After(time.Millisecond)
	}
	older := record(1, 1)
	put(t, r, "a", older)
	want(t, r, "a", older)
}

func race(t *testing.T, r cache.Remote) {
	t.Helper()
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for _, n := range rand.Perm(50) {
				put(t, r, "a", record(uint64(n)+1, 0)) //nolint:gosec // a small number
			}
		})
	}
	all.Wait()
	got, _, err := r.Get(t.Context(), "a")
	if err != nil || got.Version != 50 {
		t.Errorf("%+v, %v", got, err)
	}
}
