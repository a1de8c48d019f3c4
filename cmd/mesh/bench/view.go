package bench

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/event"
	"github.com/ordermesh/ordermesh/bus/view"
	"github.com/ordermesh/ordermesh/bus/view/postgres"
	server "github.com/ordermesh/ordermesh/embedded/postgres"
)

// catchUpGoal is how many events a second a view must fold into PostgreSQL.
const catchUpGoal = 10_000

// View measures how fast a view in PostgreSQL works a stream off, beside a COPY of as
// many rows into the same table, which is all that PostgreSQL can take; and how long one
// event takes from its append to a reader of the view. The server is the one that
// DATABASE_URL names, or one of its own.
func View(ctx context.Context, o Options) (_ Report, err error) {
	o = o.withDefaults()
	o.Stored = max(o.Stored/2, 1)
	report := newReport("view", o)
	base, stop, err := databaseServer(ctx)
	if errors.Is(err, server.ErrMissing) {
		report.Notes = append(report.Notes, "nothing was measured: "+err.Error())
		return report, nil
	}
	if err != nil {
		return report, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	g, err := newGround(o, TCP)
	if err != nil {
		return report, err
	}
	defer func() { err = errors.Join(err, g.close()) }()
	desc := gaugeService()
	if err := g.provision(ctx, contract.Streams(desc)); err != nil {
		return report, err
	}
	conn, err := g.dial(ctx, "bench")
	if err != nil {
		return report, err
	}
	b := &viewBench{o: o, conn: conn, base: base}
	for _, measure := range []func(context.Context) (Row, error){b.inserts, b.updates, b.fresh} {
		row, err := measure(ctx)
		if err != nil {
			return report, fmt.Errorf("bench view: %w", err)
		}
		report.Rows = append(report.Rows, row)
		fmt.Fprintf(o.Progress, "%s: %.0f/s, p50 %v, %.2f of raw\n", row.Name, row.Ours.Ops, row.Ours.P50, row.OpsRatio)
	}
	report.Notes = append(report.Notes, "CPU is without PostgreSQL's; the stream is of "+strconv.Itoa(o.Stored)+" events")
	report.finish()
	return report, nil
}

// databaseServer is where databases are made.
func databaseServer(ctx context.Context) (base string, stop func() error, err error) {
	if given := os.Getenv("DATABASE_URL"); given != "" {
		return given, func() error { return nil }, nil
	}
	s, err := server.Start(ctx)
	if err != nil {
		return "", nil, err
	}
	return s.URL("postgres"), s.Close, nil
}

// gaugeRow is a row of the view.
type gaugeRow struct {
	Level, Moves int64
	Reason       string
}

var gaugeFold = view.Fold[gaugeEvent, gaugeRow]{Apply: func(r gaugeRow, e event.Event[gaugeEvent]) gaugeRow {
	if m, ok := e.Data.(moved); ok {
		r = gaugeRow{r.Level + m.Delta, r.Moves + 1, m.Reason}
	}
	return r
}}

func gaugeTable() postgres.Table[gaugeRow] {
	return postgres.Table[gaugeRow]{
		Schema: "bench", Name: "gauges", Columns: []string{"level", "moves", "reason"},
		Fields: func(r *gaugeRow) []any { return []any{&r.Level, &r.Moves, &r.Reason} },
		List:   func(string) (postgres.List, bool) { return postgres.List{Order: postgres.Number("level")}, true },
		Migrations: fstest.MapFS{"00001_gauges.sql": {Data: []byte(`-- +goose Up
CREATE TABLE bench.gauges (
	key text COLLATE "C" PRIMARY KEY,
	version bigint NOT NULL,
	level bigint NOT NULL,
	moves bigint NOT NULL,
	reason text NOT NULL
);
CREATE INDEX gauges_by_level ON bench.gauges (level, key);
`)}},
	}
}

// viewBench measures on one stream, with a database for each measurement.
type viewBench struct {
	o    Options
	conn *bus.Conn
	base string
	made atomic.Int64
}

// inDatabase calls f with an empty table in a database of its own.
func (b *viewBench) inDatabase(ctx context.Context, f func(*pgxpool.Pool, *postgres.Store[gaugeRow]) error) (err error) {
	name := fmt.Sprintf("mesh_bench_%d_%d", os.Getpid(), b.made.Add(1))
	admin, err := pgx.Connect(ctx, b.base)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, admin.Close(context.WithoutCancel(ctx))) }()
	if _, err := admin.Exec(ctx, "CREATE DATABASE "+name); err != nil {
		return err
	}
	defer func() {
		_, dropped := admin.Exec(context.WithoutCancel(ctx), "DROP DATABASE "+name+" WITH (FORCE)")
		err = errors.Join(err, dropped)
	}()
	u, err := url.Parse(b.base)
	if err != nil {
		return err
	}
	u.Path = "/" + name
	pool, err := pgxpool.New(ctx, u.String())
	if err != nil {
		return err
	}
	defer pool.Close()
	store, err := postgres.Open(ctx, pool, gaugeTable())
	if err != nil {
		return err
	}
	return f(pool, store)
}

// inserts has one event of each entity.
func (b *viewBench) inserts(ctx context.Context) (Row, error) {
	if err := fill(ctx, newGauges(b.conn), b.o.Stored); err != nil {
		return Row{}, err
	}
	return b.catchUp(ctx, "catch-up, a row per event")
}

// eventsEach is how many events an entity of a business has.
const eventsEach = 8

// updates has several events of each entity, far apart.
func (b *viewBench) updates(ctx context.Context) (Row, error) {
	if err := b.conn.JetStream().DeleteStream(ctx, benchStream); err != nil {
		return Row{}, err
	}
	if err := bus.Provision(ctx, b.conn, contract.Streams(gaugeService()), 1); err != nil {
		return Row{}, err
	}
	entities := newGauges(b.conn)
	for turn := range eventsEach {
		if err := fillAgain(ctx, entities, b.o.Stored/eventsEach, "turn-"+strconv.Itoa(turn)); err != nil {
			return Row{}, err
		}
	}
	return b.catchUp(ctx, fmt.Sprintf("catch-up, %d events per row", eventsEach))
}

// fillAgain adds an event to each of n entities.
func fillAgain(ctx context.Context, entities *gauges, n int, command string) error {
	const clients = 128
	errs := make(chan error, clients)
	for client := range clients {
		go func() {
			var err error
			for i := client; i < n && err == nil; i += clients {
				_, _, err = entities.Do(ctx, "busy-"+strconv.Itoa(i), command, moved{Delta: 1, Reason: "benchmark"})
			}
			errs <- err
		}()
	}
	var all error
	for range clients {
		all = errors.Join(all, <-errs)
	}
	return all
}

// catchUp compares a view that works the stream off with a COPY of as many rows.
func (b *viewBench) catchUp(ctx context.Context, name string) (Row, error) {
	row := Row{Name: name, Goal: Goal{Ops: catchUpGoal}, Note: "raw is one COPY of a row per event from memory into the same table"}
	stream, err := b.conn.JetStream().Stream(ctx, benchStream)
	if err != nil {
		return row, err
	}
	state := stream.CachedInfo().State
	sides := [2]func(context.Context, uint64, uint64) (Sample, error){b.project, b.copy}
	var samples [2][]Sample
	for round := range b.o.Rounds {
		for turn := range sides {
			i := (turn + round) % 2
			s, err := sides[i](ctx, state.Msgs, state.LastSeq)
			if err != nil {
				return row, err
			}
			samples[i] = append(samples[i], s)
		}
	}
	raw := median(samples[1])
	row.Ours, row.Raw = median(samples[0]), &raw
	row.OpsRatio = medianRatio(samples, func(s Sample) float64 { return s.Ops })
	return row, nil
}

// project folds the stream into an empty table.
func (b *viewBench) project(ctx context.Context, events, last uint64) (s Sample, err error) {
	return s, b.inDatabase(ctx, func(_ *pgxpool.Pool, store *postgres.Store[gaugeRow]) error {
		s, err = b.timed(events, func() error {
			p, stop, err := b.run(ctx, store)
			if err != nil {
				return err
			}
			return errors.Join(p.Wait(ctx, last), stop())
		})
		return err
	})
}

// run starts a projection.
func (b *viewBench) run(ctx context.Context, store *postgres.Store[gaugeRow]) (*view.Projection[gaugeEvent, gaugeRow], func() error, error) {
	p, err := view.New(b.conn, gaugeEvents, view.Store[gaugeRow](store), gaugeFold)
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	return p, func() error {
		cancel()
		return <-ended
	}, nil
}

// copy writes as many rows with one COPY.
func (b *viewBench) copy(ctx context.Context, events, _ uint64) (s Sample, err error) {
	return s, b.inDatabase(ctx, func(pool *pgxpool.Pool, _ *postgres.Store[gaugeRow]) error {
		n := uint64(0)
		rows := pgx.CopyFromFunc(func() ([]any, error) {
			if n++; n > events {
				return nil, nil
			}
			return []any{"cold-" + strconv.FormatUint(n, 10), uint64(1), n, uint64(1), "benchmark"}, nil
		})
		s, err = b.timed(events, func() error {
			_, err := pool.CopyFrom(ctx, pgx.Identifier{"bench", "gauges"}, strings.Fields("key version level moves reason"), rows)
			return err
		})
		return err
	})
}

func (b *viewBench) timed(events uint64, work func() error) (Sample, error) {
	cpu, begin := processCPU(), time.Now()
	if err := work(); err != nil {
		return Sample{}, err
	}
	elapsed, cpu := time.Since(begin), processCPU()-cpu
	return Sample{Ops: float64(events) / elapsed.Seconds(), Count: int64(events), CPU: cpu / time.Duration(events)}, nil //nolint:gosec // a count of messages
}

// fresh has one client that appends an event and waits until the view shows it.
func (b *viewBench) fresh(ctx context.Context) (row Row, err error) {
	row = Row{Name: "append until the view shows it, one at a time", Concurrency: 1}
	return row, b.inDatabase(ctx, func(_ *pgxpool.Pool, store *postgres.Store[gaugeRow]) error {
		p, stop, err := b.run(ctx, store)
		if err != nil {
			return err
		}
		entities, ids := newGauges(b.conn), newCommandIDs(1)
		row.Ours, err = repeat(ctx, b.o, 1, func(ctx context.Context, client int) error {
			_, version, err := entities.Do(ctx, "newest", ids.next(client), moved{Delta: 1, Reason: "benchmark"})
			if err != nil {
				return err
			}
			return p.WaitVersion(ctx, "newest", version)
		})
		return errors.Join(err, stop())
	})
}
