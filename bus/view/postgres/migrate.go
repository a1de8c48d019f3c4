package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
)

// Migrate makes the schema if it is missing, the table of checkpoints and, by the
// migrations that have not run yet, the view's table. Several processes may call it at
// the same time.
func (s *Store[R]) Migrate(ctx context.Context) error {
	if err := s.migrate(ctx); err != nil {
		return fmt.Errorf("migrate the tables of %s: %w", s.Name(), classify(err))
	}
	return nil
}

func (s *Store[R]) migrate(ctx context.Context) error {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	// One lock for all: schemas may share tables of the system.
	const key = 0x6d657368 // "mesh"
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock($1)", key); err != nil {
		return err
	}
	defer unlock(ctx, conn, key)
	if err := s.ground(ctx, conn); err != nil {
		return err
	}
	if err := s.goose(ctx); err != nil {
		return err
	}
	_, err = conn.Exec(ctx, s.sql.begin, s.name)
	return err
}

// unlock gives a lock back, or the connection up that holds it.
func unlock(ctx context.Context, conn *pgxpool.Conn, key int64) {
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_unlock($1)", key); err != nil {
		_ = conn.Conn().Close(context.WithoutCancel(ctx))
	}
}

// ground is what stands before the first migration. The schema is looked for first: who
// may not make one may still use it.
func (s *Store[R]) ground(ctx context.Context, conn *pgxpool.Conn) error {
	var there bool
	if err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)", s.table.Schema).Scan(&there); err != nil {
		return err
	}
	batch := &pgx.Batch{}
	if !there {
		batch.Queue("CREATE SCHEMA " + s.table.Schema)
	}
	batch.Queue("CREATE TABLE IF NOT EXISTS " + pgx.Identifier{s.table.Schema, checkpoints}.Sanitize() + ` (
		view text PRIMARY KEY,
		generation bigint NOT NULL DEFAULT 0,
		stream text NOT NULL DEFAULT '',
		sequence bigint NOT NULL DEFAULT 0,
		hash text NOT NULL DEFAULT '',
		behind bigint NOT NULL DEFAULT 0,
		halted text NOT NULL DEFAULT '',
		moved_at timestamptz NOT NULL DEFAULT now()
	)`)
	return conn.SendBatch(ctx, batch).Close()
}

func (s *Store[R]) goose(ctx context.Context) (err error) {
	db := stdlib.OpenDBFromPool(s.pool)
	defer func() { err = errors.Join(err, db.Close()) }()
	provider, err := goose.NewProvider(goose.DialectPostgres, db, s.table.Migrations,
		goose.WithTableName(s.table.Schema+".migration"), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return err
	}
	_, err = provider.Up(ctx)
	return err
}
