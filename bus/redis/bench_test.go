package redis_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/ordermesh/ordermesh/bus/cache"
	"github.com/ordermesh/ordermesh/bus/redis"
	"github.com/ordermesh/ordermesh/bus/telemetry"
	"github.com/ordermesh/ordermesh/embedded/redis/redistest"
)

func BenchmarkRemoteHit(b *testing.B) {
	url, prefix := redistest.URL(b)
	client, err := redis.Open(url, redis.WithPrefix(prefix))
	if err != nil {
		b.Fatal(err)
	}
	defer client.Close()
	s := &shelf{}
	s.version.Store(1)
	c, err := cache.New(telemetry.Nop(), "shelf", s.read, cache.WithRemote(client.Cache()), cache.WithSize(1), cache.WithRemoteTimeout(time.Second))
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	keys := make([]string, 1000)
	for i := range keys {
		keys[i] = fmt.Sprint("k", i)
		if _, _, err := c.Get(b.Context(), keys[i]); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if _, _, err := c.Get(b.Context(), keys[i%len(keys)]); err != nil {
			b.Fatal(err)
		}
	}
}
