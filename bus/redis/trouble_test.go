package redis_test

import (
	"bufio"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/cache"
	"github.com/ordermesh/ordermesh/bus/redis"
	"github.com/ordermesh/ordermesh/bus/telemetry"
	"github.com/ordermesh/ordermesh/embedded/redis/redistest"
)

const patience = 20 * time.Second

// shelf is a source that counts who reads at once.
type shelf struct {
	reads, now, most atomic.Int64
	version          atomic.Uint64
}

func (s *shelf) read(_ context.Context, key string) (string, uint64, error) {
	s.reads.Add(1)
	now := s.now.Add(1)
	defer s.now.Add(-1)
	for most := s.most.Load(); now > most && !s.most.CompareAndSwap(most, now); most = s.most.Load() {
	}
	version := s.version.Load()
	return key + strconv.FormatUint(version, 10), version, nil
}

const loads = 8

// unhurried is for tests in which Redis is well, on a machine that may be busy.
var unhurried = cache.WithRemoteTimeout(patience)

// levels is a cache with next to nothing in the process, so that it asks Redis.
func levels(t *testing.T, s *shelf, c *redis.Client, opts ...cache.Option) *cache.Cache[string] {
	t.Helper()
	opts = append([]cache.Option{
		cache.WithRemote(c.Cache()), cache.WithSize(1), cache.WithLoads(loads), cache.WithRemoteTimeout(50 * time.Millisecond),
		cache.WithRemoteGuard(cache.NewBreaker(5, 1, 20*time.Millisecond)),
	}, opts...)
	got, err := cache.New(telemetry.Nop(), "shelf", s.read, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(got.Close)
	return got
}

func readAll(t *testing.T, c *cache.Cache[string], version uint64, keys int) {
	t.Helper()
	for i := range keys {
		key := fmt.Sprint("k", i)
		v, got, err := c.Get(t.Context(), key)
		if err != nil || got != version || v != key+strconv.FormatUint(version, 10) {
			t.Fatalf("%s: %q at %d, %v", key, v, got, err)
		}
	}
}

// answering is a server that says the same to everything, or, with "", nothing.
func answering(t *testing.T, answer func() string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer conn.Close()
				in := bufio.NewReader(conn)
				for {
					line, err := in.ReadString('\n')
					if err != nil {
						return
					}
					if strings.HasPrefix(line, "*") { // one command
						if _, err := io.WriteString(conn, answer()); err != nil {
							return
						}
					}
				}
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		all.Wait()
	})
	return "redis://" + l.Addr().String()
}

// TestARedisThatIsWrongIsAMiss reads through a Redis that is not well in every way there
// is: nobody notices, and the source has no more to do than without one.
func TestARedisThatIsWrongIsAMiss(t *testing.T) {
	t.Parallel()
	always := func(s string) func(t *testing.T) string {
		return func(t *testing.T) string { t.Helper(); return answering(t, func() string { return s }) }
	}
	for name, url := range map[string]func(t *testing.T) string{
		"nobody is there": func(*testing.T) string { return "redis://127.0.0.1:1" },
		"a black hole":    always(""),
		"loading":         always("-LOADING Redis is loading the dataset in memory\r\n"),
		"a clerk":         always("HTTP/1.1 400 Bad Request\r\n\r\n"),
		"a huge answer":   always("$9999999999\r\n"),
		"noise": func(t *testing.T) string {
			t.Helper()
			return answering(t, func() string { return rand.Text() + "\x00\xff\r\n" + rand.Text() })
		},
		"numbers":  always(":1\r\n"),
		"readonly": always("-READONLY You can't write against a read only replica.\r\n"),
		"locked": func(t *testing.T) string {
			t.Helper()
			return redistest.Server(t, "--requirepass", "geheim").URL()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &shelf{}
			s.version.Store(1)
			c := levels(t, s, open(t, url(t)))
			const readers, keys = 16, 20
			var all sync.WaitGroup
			for range readers {
				all.Go(func() { readAll(t, c, 1, keys) })
			}
			all.Wait()
			if s.most.Load() > loads || s.reads.Load() > readers*keys {
				t.Errorf("%d reads of the source, %d at once", s.reads.Load(), s.most.Load())
			}
		})
	}
}

func TestAFullRedisStillAnswers(t *testing.T) {
	t.Parallel()
	server := redistest.Server(t, "--maxmemory", "2mb", "--maxmemory-policy", "noeviction")
	client, rdb := open(t, server.URL()), plain(t, server.URL())
	s := &shelf{}
	s.version.Store(1)
	c := levels(t, s, client, unhurried)
	readAll(t, c, 1, 5)
	c.Close() // what was read is there
	for i := 0; ; i++ {
		if err := rdb.Set(t.Context(), fmt.Sprint("ballast", i), strings.Repeat("x", 100_000), 0).Err(); err != nil {
			break
		}
	}
	s.version.Store(2) // nobody told: what is in Redis is still good
	readAll(t, levels(t, s, client, unhurried), 1, 5)
	fresh := levels(t, s, client, unhurried, cache.WithSchema(7))
	readAll(t, fresh, 2, 50)
	if n := s.reads.Load(); n != 55 {
		t.Errorf("%d reads of the source, want one for each key", n)
	}
}

func TestAFlushedRedisIsFilledAgain(t *testing.T) {
	t.Parallel()
	server := redistest.Server(t)
	client, rdb := open(t, server.URL()), plain(t, server.URL())
	s := &shelf{}
	s.version.Store(1)
	for round := range int64(3) {
		c := levels(t, s, client, unhurried)
		readAll(t, c, 1, 5)
		c.Close()
		readAll(t, levels(t, s, client, unhurried), 1, 5)
		if n := s.reads.Load(); n != 5*(round+1) {
			t.Fatalf("%d reads of the source in round %d", n, round)
		}
		if err := rdb.FlushAll(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestASlowRedisIsLeftAlone(t *testing.T) {
	t.Parallel()
	server := redistest.Server(t)
	client := open(t, server.URL())
	s := &shelf{}
	s.version.Store(1)
	c := levels(t, s, client, cache.WithRemoteGuard(cache.NewBreaker(5, 1, time.Minute)))
	readAll(t, c, 1, 5)
	if err := server.Freeze(); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	readAll(t, c, 1, 1000)
	if d := time.Since(begin); d > patience {
		t.Errorf("1,000 reads took %v", d)
	}
	if err := server.Thaw(); err != nil {
		t.Fatal(err)
	}
	readAll(t, c, 1, 5)
}

// TestRedisComesAndGoesUnderLoad stops, kills and freezes Redis while many read and the
// values change; ten rounds with MESH_LONG=1, two otherwise.
func TestRedisComesAndGoesUnderLoad(t *testing.T) {
	t.Parallel()
	rounds := 2
	if os.Getenv("MESH_LONG") != "" {
		rounds = 10
	}
	server := redistest.Server(t)
	client := open(t, server.URL())
	s := &shelf{}
	s.version.Store(1)
	c := levels(t, s, client)
	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	var reads atomic.Int64
	for r := range 8 {
		all.Go(func() {
			for i := r; ctx.Err() == nil; i++ {
				least := s.version.Load() // Changed has been called for all that are below
				if _, version, err := c.Get(t.Context(), fmt.Sprint("k", i%50)); err != nil || version+1 < least {
					t.Errorf("version %d of %d, %v", version, least, err)
					return
				}
				reads.Add(1)
			}
		})
	}
	defer func() {
		stop()
		all.Wait()
		t.Logf("%d reads, %d of the source, %d at once", reads.Load(), s.reads.Load(), s.most.Load())
		if s.most.Load() > loads {
			t.Errorf("%d reads of the source at once", s.most.Load())
		}
	}()
	more := func(n int64) {
		t.Helper()
		from := reads.Load()
		bustest.Eventually(t, patience, func() bool { return reads.Load() > from+n || t.Failed() }, "readers to go on")
	}
	for round := range rounds {
		more(500)
		end := []func() error{server.Stop, server.Kill, server.Freeze}[round%3]
		if err := end(); err != nil {
			t.Fatal(err)
		}
		more(500)
		version := s.version.Add(1)
		for i := range 50 {
			c.Changed(fmt.Sprint("k", i), version)
		}
		more(500)
		back := func() error { return server.Run(t.Context()) }
		if round%3 == 2 {
			back = server.Thaw
		}
		if err := back(); err != nil {
			t.Fatal(err)
		}
		bustest.Eventually(t, patience, func() bool {
			before := s.reads.Load()
			more(200)
			return s.reads.Load() == before
		}, "Redis to be used again")
	}
}
