package postgres_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/view"
	"github.com/ordermesh/ordermesh/bus/view/postgres"
	"github.com/ordermesh/ordermesh/bus/view/viewtest"
	"github.com/ordermesh/ordermesh/embedded/postgres/postgrestest"
)

// childEnv makes this binary a process that projects: the URLs of NATS and PostgreSQL.
const childEnv = "MESH_TEST_PROJECTOR"

func TestMain(m *testing.M) {
	if urls := os.Getenv(childEnv); urls != "" {
		fmt.Fprintln(os.Stderr, projectFor(urls))
		os.Exit(1)
	}
	bustest.Main(m)
}

// projectFor projects until the process is killed.
func projectFor(urls string) error {
	nats, database, _ := strings.Cut(urls, " ")
	ctx := context.Background()
	conn, err := bus.Dial(ctx, bus.Config{URL: nats, Service: "projector"})
	if err != nil {
		return err
	}
	pool, err := pgxpool.New(ctx, database)
	if err != nil {
		return err
	}
	store, err := postgres.New(pool, table())
	if err != nil {
		return err
	}
	p, err := view.New(conn, tallies, store, fold)
	if err != nil {
		return err
	}
	return p.Run(ctx)
}

// long reports whether this is a run with large numbers.
func long() bool {
	return os.Getenv("MESH_LONG") == "1" || os.Getenv("MESH_CHAOS") == "ci" || os.Getenv("MESH_CHAOS") == "full"
}

// TestProjectorsAreKilled kills processes that project, at moments spread over what
// they do, while events go on to come. Each row then holds each event once.
func TestProjectorsAreKilled(t *testing.T) {
	t.Parallel()
	events, kills, processes := 6_000, 4, 2
	if long() {
		events, kills = 50_000, 20
	}
	url := postgrestest.Database(t)
	b := bustest.Server(t, bustest.WithServices(tallying))
	w := newWriter(b.Dial(t))
	store, err := postgres.Open(t.Context(), pool(t, url), table())
	check(t, err)
	var children []*exec.Cmd
	start := func() {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), childEnv+"="+b.URL()+" "+url)
		child.Stderr = os.Stderr
		check(t, child.Start())
		children = append(children, child)
	}
	end := func(i int) {
		check(t, children[i].Process.Signal(syscall.SIGKILL))
		_ = children[i].Wait()
		children = append(children[:i], children[i+1:]...)
	}
	t.Cleanup(func() {
		for len(children) > 0 {
			end(0)
		}
	})
	reached := func(sequence uint64) bool {
		at, err := store.Checkpoint(context.WithoutCancel(t.Context()))
		check(t, err)
		return at.Sequence >= sequence
	}
	for range processes {
		start()
	}
	last := uint64(0)
	for round := range kills {
		before := last
		last = w.addMany(t, events/kills, 500)
		somewhere := before + 1 + rand.Uint64N(last-before)
		bustest.Eventually(t, waiting, func() bool { return reached(somewhere) }, "checkpoint ", somewhere, " in round ", round)
		end(rand.IntN(len(children)))
		start()
	}
	bustest.Eventually(t, waiting, func() bool { return reached(last) }, "the last event")
	equal(t, store, w)
}

// equal compares a table with what was written: every version of every entity, once.
func equal(t *testing.T, store *postgres.Store[viewtest.Row], w *writer) {
	t.Helper()
	var keys []string
	want := map[string]view.Entry[viewtest.Row]{}
	for id, sum := range w.want {
		keys = append(keys, id)
		want[id] = view.Entry[viewtest.Row]{Key: id, Version: w.at[id].Last, Row: viewtest.Row{Text: id, Count: sum, In: map[string]string{"all": id}}}
	}
	got, err := store.Rows(t.Context(), keys...)
	check(t, err)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestPostgreSQLGoesAndComesBack stops, crashes and restarts the server, and cuts its
// clients off, while events come. Two instances share the view.
func TestPostgreSQLGoesAndComesBack(t *testing.T) {
	t.Parallel()
	rounds := 2
	if long() {
		rounds = 10
	}
	server := postgrestest.Server(t)
	conn, url := bustest.New(t, bustest.WithServices(tallying)), server.URL("postgres")
	w := newWriter(conn)
	instances := []*projection{project(t, conn, url), project(t, conn, url)}
	for _, p := range instances {
		run(t, p)
	}
	var last uint64
	for round := range rounds {
		w.addMany(t, 500, 50)
		switch round % 3 {
		case 0:
			check(t, server.Kill())
		case 1:
			check(t, server.Stop())
		case 2:
			execute(t, url, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'")
		}
		last = w.addMany(t, 500, 50)
		if round%3 < 2 {
			if _, err := instances[0].Page(t.Context(), view.Query{List: "all", Limit: 1}, ""); err == nil {
				t.Error("a page came out of a server that does not run")
			}
		}
		check(t, server.Run(t.Context()))
		for i, p := range instances {
			bustest.Eventually(t, waiting, func() bool { return p.Status().Sequence >= last }, "instance ", i, " in round ", round)
		}
	}
	store, err := postgres.Open(t.Context(), pool(t, url), table())
	check(t, err)
	equal(t, store, w)
}
