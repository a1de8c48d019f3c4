// Package postgrestest gives a test a PostgreSQL database of its own.
//
// All tests of a binary share one server: the one that DATABASE_URL names, as a user who
// may make databases, or else a throw-away one out of this machine's programs, which
// ends with the binary. Where neither is to be had the test is skipped with a line that
// says what to install; with MESH_REQUIRE_SERVICES=1 it fails.
package postgrestest

import (
	"context"
	"crypto/rand"
	"errors"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ordermesh/ordermesh/embedded/postgres"
)

// patience bounds the start of a server and the making of a database.
const patience = time.Minute

// server is where tests make their databases.
type server struct {
	url string
	own *postgres.Server // is held: its watchdog ends it with the process, or when nobody does
}

// shared is the server of this binary.
var shared = sync.OnceValues(func() (server, error) {
	if given := os.Getenv("DATABASE_URL"); given != "" {
		return server{url: given}, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s, err := postgres.Start(ctx)
	if err != nil {
		return server{}, err
	}
	return server{s.URL("postgres"), s}, nil
})

// Database makes an empty database for this test and returns where to connect, as a user
// who may do everything in it. It is dropped when the test ends, whoever is connected.
func Database(t testing.TB) string {
	t.Helper()
	server, err := shared()
	Missing(t, err)
	name := "mesh_test_" + strings.ToLower(rand.Text()[:12])
	execute(t, server.url, "CREATE DATABASE "+name)
	t.Cleanup(func() { execute(t, server.url, "DROP DATABASE "+name+" WITH (FORCE)") })
	u, err := url.Parse(server.url)
	if err != nil {
		t.Fatal("DATABASE_URL must be a URL such as postgres://user@host/database")
	}
	u.Path = "/" + name
	return u.String()
}

// Server starts a server for this test alone, to stop and to kill.
func Server(t testing.TB) *postgres.Server {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s, err := postgres.Start(ctx)
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
	case errors.Is(err, postgres.ErrMissing) && os.Getenv("MESH_REQUIRE_SERVICES") == "":
		t.Skip(err)
	default:
		t.Fatal(err)
	}
}

func execute(t testing.TB, url, sql string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatalf("connect to PostgreSQL for tests: %v", err)
	}
	_, err = conn.Exec(ctx, sql)
	if err = errors.Join(err, conn.Close(ctx)); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}
