package postgres_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/ordermesh/ordermesh/bus/view"
	"github.com/ordermesh/ordermesh/bus/view/postgres"
	"github.com/ordermesh/ordermesh/bus/view/viewtest"
	"github.com/ordermesh/ordermesh/embedded/postgres/postgrestest"
)

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// table keeps the rows of the suite: the lists of a row are one column.
func table() postgres.Table[viewtest.Row] {
	return postgres.Table[viewtest.Row]{
		Schema: "tallying", Name: "tallies", Columns: []string{"text", "count", "lists"},
		Fields: func(r *viewtest.Row) []any { return []any{&r.Text, &r.Count, &r.In} },
		List: func(name string) (postgres.List, bool) {
			return postgres.List{Where: "lists ? $1", Args: []any{name}, Order: postgres.Text("lists ->> $1")}, name != "none"
		},
		Migrations: os.DirFS("testdata/migrations"),
	}
}

func pool(t testing.TB, url string) *pgxpool.Pool {
	t.Helper()
	p, err := pgxpool.New(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

func open(t *testing.T) *postgres.Store[viewtest.Row] {
	t.Helper()
	s, err := postgres.Open(t.Context(), pool(t, postgrestest.Database(t)), table())
	check(t, err)
	return s
}

func TestStore(t *testing.T) {
	t.Parallel()
	viewtest.Run(t, func(t *testing.T) view.Store[viewtest.Row] { return open(t) })
}

func TestMigratingAgainChangesNothing(t *testing.T) {
	t.Parallel()
	url := postgrestest.Database(t)
	first, err := postgres.Open(t.Context(), pool(t, url), table())
	check(t, err)
	row := view.Entry[viewtest.Row]{Key: "a", Version: 1, Row: viewtest.Row{Text: "x"}}
	check(t, first.Apply(t.Context(), view.Checkpoint{}, view.Checkpoint{Sequence: 1}, []view.Change[viewtest.Row]{{Entry: row}}))
	errs := make(chan error)
	for range 4 {
		go func() {
			_, err := postgres.Open(t.Context(), pool(t, url), table())
			errs <- err
		}()
	}
	for range 4 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	rows, err := first.Rows(t.Context(), "a")
	check(t, err)
	if diff := cmp.Diff(map[string]view.Entry[viewtest.Row]{"a": row}, rows); diff != "" {
		t.Error(diff)
	}
}

func TestWhatPostgreSQLDoesNotTakeIsStoredReadably(t *testing.T) {
	t.Parallel()
	s := open(t)
	for i, text := range []string{"a\x00b", "a\xffb"} {
		from, to := view.Checkpoint{Sequence: uint64(i)}, view.Checkpoint{Sequence: uint64(i + 1)}
		entry := view.Entry[viewtest.Row]{Key: "k", Version: 1, Row: viewtest.Row{Text: text}}
		check(t, s.Apply(t.Context(), from, to, []view.Change[viewtest.Row]{{Entry: entry}}))
		rows, err := s.Rows(t.Context(), "k")
		check(t, err)
		if got := rows["k"].Row.Text; got != "a\uFFFDb" {
			t.Errorf("%q", got)
		}
	}
}

func TestATableThatCannotBeUsedIsRefused(t *testing.T) {
	t.Parallel()
	p, err := pgxpool.New(t.Context(), "postgres:///nowhere?host=/nowhere&pool_max_conns=1")
	check(t, err)
	defer p.Close()
	for want, change := range map[string]func(*postgres.Table[viewtest.Row]){
		"is no name":   func(t *postgres.Table[viewtest.Row]) { t.Schema = "Orders; DROP" },
		"4 columns":    func(t *postgres.Table[viewtest.Row]) { t.Columns = append(t.Columns, "more") },
		"needs Fields": func(t *postgres.Table[viewtest.Row]) { t.List = nil },
		"at least 2":   func(*postgres.Table[viewtest.Row]) {},
	} {
		tab := table()
		change(&tab)
		if _, err := postgres.New(p, tab); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

// entry is a row of a table ordered by number and time.
type entry struct {
	Number uint64
	At     time.Time
}

func TestOrdersByNumberAndTime(t *testing.T) {
	t.Parallel()
	url := postgrestest.Database(t)
	s, err := postgres.Open(t.Context(), pool(t, url), postgres.Table[entry]{
		Schema: "numbers", Name: "numbers", Columns: []string{"number", "at"},
		Fields: func(e *entry) []any { return []any{&e.Number, &e.At} },
		List: func(name string) (postgres.List, bool) {
			if name == "late" {
				return postgres.List{Where: "number > $1", Args: []any{1}, Order: postgres.Moment("at")}, true
			}
			return postgres.List{Order: postgres.Number("number")}, true
		},
		Migrations: os.DirFS("testdata/numbers"),
	})
	check(t, err)
	day := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	var changes []view.Change[entry]
	for i, key := range []string{"c", "b", "a"} {
		changes = append(changes, view.Change[entry]{Entry: view.Entry[entry]{Key: key, Version: 1, Row: entry{uint64(9 + i), day.AddDate(0, 0, -i)}}})
	}
	check(t, s.Apply(t.Context(), view.Checkpoint{}, view.Checkpoint{Sequence: 1}, changes))
	for q, want := range map[view.Query]string{
		{List: "all"}:                           "c b a", // 9 < 10 < 11
		{List: "all", From: view.Ascending(10)}: "b a",
		{List: "late"}:                          "a b c",
		{List: "late", Newest: true, From: view.Moment(day.AddDate(0, 0, -1)), Until: view.Moment(day)}: "b",
	} {
		var got []string
		for q.Limit = 1; ; { // page by page
			page, err := s.Page(t.Context(), q)
			check(t, err)
			if len(page) == 0 {
				break
			}
			got = append(got, page[0].Key)
			q.After = view.Position{Order: page[0].Order, Key: page[0].Key}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%+v: %v", q, got)
		}
	}
	if _, err := s.Page(t.Context(), view.Query{List: "all", Limit: 1, After: view.Position{Order: "x", Key: "k"}}); err == nil {
		t.Error("a place that is no number was taken")
	}
}

// closed is a guard that lets nothing through.
type closed struct{ asked atomic.Int64 }

var errClosed = errors.New("closed")

func (c *closed) Do(context.Context, func(context.Context) error) error {
	c.asked.Add(1)
	return errClosed
}

// TestAGuardStandsBeforePages: what is asked by callers is guarded, folding is not.
func TestAGuardStandsBeforePages(t *testing.T) {
	t.Parallel()
	var guard closed
	s, err := postgres.Open(t.Context(), pool(t, postgrestest.Database(t)), table(), postgres.WithGuard(&guard))
	check(t, err)
	if _, err := s.Page(t.Context(), view.Query{List: "all", Limit: 1}); !errors.Is(err, errClosed) {
		t.Errorf("a page: %v", err)
	}
	read := false
	if err := s.Guarded(t.Context(), func(context.Context) error { read = true; return nil }); !errors.Is(err, errClosed) || read {
		t.Errorf("a read: %v, read %v", err, read)
	}
	if _, err := s.Rows(t.Context(), "a"); err != nil {
		t.Error(err)
	}
	if _, err := s.Checkpoint(t.Context()); err != nil {
		t.Error(err)
	}
	if n := guard.asked.Load(); n != 2 {
		t.Errorf("the guard was asked %d times", n)
	}
}
