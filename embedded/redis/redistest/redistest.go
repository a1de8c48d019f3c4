// Package redistest gives a test a Redis, and a prefix of its own for the keys in it.
//
// All tests of a binary share one server: the one that REDIS_URL names, or else a
// throw-away one out of this machine's program, which ends with the binary. Where
// neither is to be had the test is skipped with a line that says what to install; with
// MESH_REQUIRE_SERVICES=1 it fails.
package redistest

import (
	"context"
	"crypto/rand"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ordermesh/ordermesh/embedded/redis"
)

// patience bounds the start of a server.
const patience = time.Minute

// server is where tests keep their keys.
type server struct {
	url string
	own *redis.Server // is held: its parent ends it with the process
}

// shared is the server of this binary.
var shared = sync.OnceValues(func() (server, error) {
	if given := os.Getenv("REDIS_URL"); given != "" {
		return server{url: given}, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s, err := redis.Start(ctx)
	if err != nil {
		return server{}, err
	}
	return server{s.URL(), s}, nil
})

// URL returns where to connect and a prefix that no other test uses. Keys are left
// behind: give them a time to live.
func URL(t testing.TB) (url, prefix string) {
	t.Helper()
	s, err := shared()
	Missing(t, err)
	return s.url, "test-" + strings.ToLower(rand.Text()[:12]) + ":"
}

// Server starts a server for this test alone, to stop, to fill and to empty.
func Server(t testing.TB, settings ...string) *redis.Server {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s, err := redis.Start(ctx, settings...)
	Missing(t, err)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// Missing skips or fails a test that cannot have what it needs.
func Missing(t testing.TB, err error) {
	t.Helper()
	switch {
	case err == nil:
	case errors.Is(err, redis.ErrMissing) && os.Getenv("MESH_REQUIRE_SERVICES") == "":
		t.Skip(err)
	default:
		t.Fatal(err)
	}
}
