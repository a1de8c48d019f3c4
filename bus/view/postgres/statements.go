package postgres

import (
	"fmt"
	"hash/fnv"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// statements are the SQL of one store.
type statements struct {
	table      string // quoted
	temporary  string // the table through which many rows go
	checkpoint string // read
	begin      string // makes sure that there is a checkpoint
	move       string // the checkpoint; fails with a division by zero when it is elsewhere
	halt       string
	reset      string
	empty      string
	rows       string
	upsert     string
	provide    string // makes the temporary table
	merge      string // its rows into the table
	all        string // rows, in no order
	forget     string // the checkpoint
	take       string // another one's checkpoint
	columns    []string
	channel    string
	notify     string
	anew       string // notifies of a generation
}

// anewPayload tells a new generation from a step.
const anewPayload = "anew"

// checkpoints is the table of a schema that holds how far its views are.
const checkpoints = "view_checkpoint"

func newStatements(schema, name string, columns []string) statements {
	table := pgx.Identifier{schema, name}.Sanitize()
	state := pgx.Identifier{schema, checkpoints}.Sanitize()
	temporary := temporaryName(name, columns)
	var params, sets []string
	for i, c := range columns {
		params = append(params, fmt.Sprintf("$%d", i+1))
		if c != "key" {
			sets = append(sets, c+" = excluded."+c)
		}
	}
	conflict := " ON CONFLICT (key) DO UPDATE SET " + strings.Join(sets, ", ")
	names := strings.Join(columns, ", ")
	channel := channelName(schema, name)
	return statements{
		table: table, temporary: temporary, columns: columns,
		checkpoint: "SELECT sequence, hash, stream, generation, behind, halted FROM " + state + " WHERE view = $1",
		begin:      "INSERT INTO " + state + " (view) VALUES ($1) ON CONFLICT DO NOTHING",
		move: "WITH moved AS (UPDATE " + state + " SET sequence = $4, hash = $5, stream = $6, behind = $7, halted = '', moved_at = now()" +
			" WHERE view = $1 AND generation = $2 AND sequence = $3 AND $3 <= $4 RETURNING 1) SELECT 1 / count(*) FROM moved",
		halt:    "UPDATE " + state + " SET halted = $4, behind = $5 WHERE view = $1 AND generation = $2 AND sequence = $3",
		reset:   "UPDATE " + state + " SET sequence = 0, hash = '', stream = '', behind = 0, halted = '', generation = generation + 1 WHERE view = $1",
		empty:   "DELETE FROM " + table,
		rows:    "SELECT " + names + " FROM " + table + " WHERE key = ANY($1)",
		upsert:  "INSERT INTO " + table + " (" + names + ") VALUES (" + strings.Join(params, ", ") + ")" + conflict,
		provide: "CREATE TEMPORARY TABLE IF NOT EXISTS " + temporary + " (LIKE " + table + " INCLUDING DEFAULTS) ON COMMIT DELETE ROWS",
		merge:   "INSERT INTO " + table + " (" + names + ") SELECT " + names + " FROM " + temporary + conflict,
		all:     "SELECT " + names + " FROM " + table,
		forget:  "DELETE FROM " + state + " WHERE view = $1",
		take: "UPDATE " + state + " SET sequence = $2, hash = $3, stream = $4, behind = $5, halted = '', generation = generation + 1, moved_at = now()" +
			" WHERE view = $1",
		channel: channel,
		notify:  "NOTIFY " + channel,
		anew:    "NOTIFY " + channel + ", '" + anewPayload + "'",
	}
}

// temporaryName tells tables of different columns apart: a connection keeps its
// temporary table longer than a build keeps its columns.
func temporaryName(name string, columns []string) string {
	h := fnv.New64a()
	for _, c := range slices.Concat([]string{name}, columns) {
		_, _ = h.Write([]byte(c + ","))
	}
	return fmt.Sprintf("fresh_%x", h.Sum64())
}

// channelName is where processes hear that a view has moved.
func channelName(schema, name string) string {
	h := fnv.New64a()
	_, _ = h.Write([]byte(schema + "." + name))
	return fmt.Sprintf("view_%x", h.Sum64())
}

// remove takes those rows out of the live table that are not in this one.
func (s *statements) remove(live *statements) string {
	return "DELETE FROM " + live.table + " AS old WHERE NOT EXISTS (SELECT FROM " + s.table + " AS new WHERE new.key = old.key)"
}

// replace puts those rows of this table into the live one that differ there.
func (s *statements) replace(live *statements) string {
	names := strings.Join(s.columns, ", ")
	var sets, old, fresh []string
	for _, c := range s.columns {
		if c != "key" {
			sets, old, fresh = append(sets, c+" = excluded."+c), append(old, "live."+c), append(fresh, "excluded."+c)
		}
	}
	return "INSERT INTO " + live.table + " AS live (" + names + ") SELECT " + names + " FROM " + s.table +
		" ON CONFLICT (key) DO UPDATE SET " + strings.Join(sets, ", ") +
		" WHERE (" + strings.Join(old, ", ") + ") IS DISTINCT FROM (" + strings.Join(fresh, ", ") + ")"
}
