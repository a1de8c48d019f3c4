package main

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/ordermesh/ordermesh/bus/view"
	"github.com/ordermesh/ordermesh/bus/view/postgres"
	"github.com/ordermesh/ordermesh/embedded/postgres/postgrestest"
)

// noteTable is a view of texts of a service named notes.
func noteTable() postgres.Table[string] {
	return postgres.Table[string]{
		Schema: "notes", Name: "notes", Columns: []string{"note"},
		Fields: func(s *string) []any { return []any{s} },
		List:   func(string) (postgres.List, bool) { return postgres.List{Order: postgres.Text("note")}, true },
		Migrations: fstest.MapFS{"00001_notes.sql": {Data: []byte(
			"-- +goose Up\nCREATE TABLE notes.notes (key text COLLATE \"C\" PRIMARY KEY, version bigint NOT NULL, note text NOT NULL);\n")}},
	}
}

func TestAServiceHasARoleAndASchemaOfItsOwn(t *testing.T) {
	t.Parallel()
	all, err := newBackings(postgrestest.Database(t), true)
	check(t, err)
	defer all.close()
	notes, err := all.of("notes")
	check(t, err)
	store, err := stored(notes, noteTable())
	check(t, err)
	kept, ok := store.(*postgres.Store[string])
	if !ok {
		t.Fatalf("the view is kept in a %T", store)
	}
	check(t, kept.Migrate(t.Context()))
	var user, owner string
	check(t, notes.pool.QueryRow(t.Context(),
		"SELECT current_user, tableowner FROM pg_tables WHERE schemaname = 'notes' AND tablename = 'notes'").Scan(&user, &owner))
	if user != "mesh_notes" || owner != "mesh_notes" {
		t.Errorf("user %s, owner %s", user, owner)
	}
	other, err := all.of("other")
	check(t, err)
	if _, err := other.pool.Exec(t.Context(), "SELECT note FROM notes.notes"); err == nil || !strings.Contains(err.Error(), "permission denied") {
		t.Errorf("another service read the table: %v", err)
	}
}

func TestWithoutADatabaseViewsAreInMemory(t *testing.T) {
	t.Parallel()
	none, err := newBackings("", false)
	check(t, err)
	defer none.close()
	b, err := none.of("notes")
	check(t, err)
	store, err := stored(b, noteTable())
	check(t, err)
	if _, ok := store.(*view.Memory[string]); !ok {
		t.Errorf("the view is kept in a %T", store)
	}
}

func TestADatabaseURLNeverShowsItsPassword(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"postgres://mesh:geheim@h/db", "postgres://mesh@h/db?password=geheim&sslmode=disable"} {
		b, err := newBackings(text, false)
		check(t, err)
		if got := b.redacted(); strings.Contains(got, "geheim") || !strings.Contains(got, "mesh@h/db") {
			t.Error(got)
		}
	}
	for _, text := range []string{"postgres://mesh:geheim@h:port/db", "://geheim", "host=h password=geheim"} {
		if _, err := newBackings(text, false); err == nil || strings.Contains(err.Error(), "geheim") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
