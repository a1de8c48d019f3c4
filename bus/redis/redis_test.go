package redis_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/cache"
	"github.com/ordermesh/ordermesh/bus/cache/cachetest"
	"github.com/ordermesh/ordermesh/bus/limit"
	"github.com/ordermesh/ordermesh/bus/limit/limittest"
	"github.com/ordermesh/ordermesh/bus/lock"
	"github.com/ordermesh/ordermesh/bus/lock/locktest"
	"github.com/ordermesh/ordermesh/bus/redis"
	"github.com/ordermesh/ordermesh/embedded/redis/redistest"
)

func TestMain(m *testing.M) { bustest.Main(m) }

func open(t *testing.T, url string, opts ...redis.Option) *redis.Client {
	t.Helper()
	c, err := redis.Open(url, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// fresh is a client whose keys nobody else has.
func fresh(t *testing.T) *redis.Client {
	t.Helper()
	url, prefix := redistest.URL(t)
	return open(t, url, redis.WithPrefix(prefix))
}

// plain is the client library by itself.
func plain(t *testing.T, url string) *goredis.Client {
	t.Helper()
	o, err := goredis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	rdb := goredis.NewClient(o)
	t.Cleanup(func() { _ = rdb.Close() })
	return rdb
}

func TestCache(t *testing.T) {
	t.Parallel()
	cachetest.Run(t, func(t *testing.T) cache.Remote { return fresh(t).Cache() })
}

func TestCacheInMemory(t *testing.T) {
	t.Parallel()
	cachetest.Run(t, func(*testing.T) cache.Remote { return cache.NewMemory(1000) })
}

func TestLimiter(t *testing.T) {
	t.Parallel()
	limittest.Run(t, func(t *testing.T) limit.Limiter { return fresh(t).Limiter() })
}

func TestLocker(t *testing.T) {
	t.Parallel()
	locktest.Run(t, func(t *testing.T) lock.Locker { return fresh(t).Locker() })
}

// TestStrangersUnderOurKeys puts what we did not write where we look.
func TestStrangersUnderOurKeys(t *testing.T) {
	t.Parallel()
	url, prefix := redistest.URL(t)
	c, rdb := open(t, url, redis.WithPrefix(prefix)), plain(t, url)
	record := cache.Record{Version: 1, Read: time.Now(), Body: []byte("{}")}
	for name, put := range map[string]func(key string) error{
		"list":             func(key string) error { return rdb.LPush(t.Context(), key, "x").Err() },
		"text":             func(key string) error { return rdb.Set(t.Context(), key, "x", 0).Err() },
		"almost a record":  func(key string) error { return rdb.Set(t.Context(), key, "m1"+strings.Repeat("z", 60), 0).Err() },
		"another record":   func(key string) error { return rdb.Set(t.Context(), key, "m2"+strings.Repeat("f", 60), 0).Err() },
		"half of a record": func(key string) error { return rdb.Set(t.Context(), key, string(record.Encode()[:49]), 0).Err() },
	} {
		if err := errors.Join(put(prefix+"cache:"+name), put(prefix+"limit:"+name), put(prefix+"lock:"+name)); err != nil {
			t.Fatal(err)
		}
		if _, found, err := c.Cache().Get(t.Context(), name); found || err != nil {
			t.Errorf("%s: %v, %v", name, found, err)
		}
		if err := c.Cache().Put(t.Context(), name, record, time.Minute); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if r, found, err := c.Cache().Get(t.Context(), name); !found || err != nil || r.Version != 1 {
			t.Errorf("%s was not replaced: %+v, %v, %v", name, r, found, err)
		}
		if v, err := c.Limiter().Take(t.Context(), name, limit.Rate{N: 1, Per: time.Hour}, 1); err != nil || !v.Allowed {
			t.Errorf("%s: %+v, %v", name, v, err)
		}
		if v, err := c.Limiter().Take(t.Context(), name, limit.Rate{N: 1, Per: time.Hour}, 1); err != nil || v.Allowed {
			t.Errorf("%s again: %+v, %v", name, v, err)
		}
		if _, err := c.Locker().Acquire(t.Context(), name, time.Minute); !errors.Is(err, lock.ErrHeld) {
			t.Errorf("a lock that %s holds: %v", name, err)
		}
		rdb.Del(t.Context(), prefix+"cache:"+name, prefix+"limit:"+name, prefix+"lock:"+name)
	}
}

func TestKeysExpire(t *testing.T) {
	t.Parallel()
	url, prefix := redistest.URL(t)
	c, rdb := open(t, url, redis.WithPrefix(prefix)), plain(t, url)
	_, err := c.Limiter().Take(t.Context(), "a", limit.Rate{N: 1, Per: time.Minute}, 1)
	_, err2 := c.Locker().Acquire(t.Context(), "a", time.Minute)
	err3 := c.Cache().Put(t.Context(), "a", cache.Record{}, time.Minute)
	if err := errors.Join(err, err2, err3); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"limit:a", "lock:a", "cache:a"} {
		if ttl := rdb.PTTL(t.Context(), prefix+key).Val(); ttl <= 50*time.Second || ttl > time.Minute+time.Second {
			t.Errorf("%s lives for %v", key, ttl)
		}
	}
}

func TestAURLNeverShowsItsPassword(t *testing.T) {
	t.Parallel()
	for _, url := range []string{
		"redis://u:geheim@h:port/0", "geheim", "http://u:geheim@h", "redis://u:geheim@h:6379/x", "redis://h/0?geheim=1", "redis://u:gehe%im@h", "",
	} {
		c, err := redis.Open(url)
		if err == nil {
			_ = c.Close()
		}
		if !errors.Is(err, redis.ErrURL) || strings.Contains(err.Error(), "geheim") || strings.Contains(err.Error(), "gehe%im") {
			t.Errorf("%q: %v", url, err)
		}
	}
	c := open(t, "redis://u:geheim@127.0.0.1:1/0")
	if err := c.Ping(t.Context()); err == nil || strings.Contains(err.Error(), "geheim") {
		t.Errorf("a server that is not there: %v", err)
	}
	server := redistest.Server(t, "--requirepass", "other")
	c = open(t, strings.Replace(server.URL(), "unix://", "unix://:geheim@", 1))
	if err := c.Ping(t.Context()); err == nil || strings.Contains(err.Error(), "geheim") {
		t.Errorf("a wrong password: %v", err)
	}
}

func Example() {
	c, err := redis.Open("redis://127.0.0.1:6379")
	if err != nil {
		return
	}
	defer func() { _ = c.Close() }()
	limiter := limit.Fallback(c.Limiter(), limit.NewMemory()) // each process by itself while Redis is away
	_, _ = limiter.Take(context.Background(), "customer/c1", limit.Rate{N: 100, Per: time.Minute}, 1)
	_ = lock.Do(context.Background(), c.Locker(), "report", time.Minute, func(context.Context) error { return nil })
}
