package postgres

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/ordermesh/ordermesh/bus/view"
)

// Store keeps the rows of one view in PostgreSQL.
type Store[R any] struct {
	pool  *pgxpool.Pool
	table Table[R]
	name  string // of the table that holds the rows
	sql   statements
	guard Guard
}

var _ view.Store[struct{}] = (*Store[struct{}])(nil)

// New returns a store and asks nothing of the database yet: what it needs there is made
// by Share, or by Migrate. The pool may open at least two connections.
func New[R any](pool *pgxpool.Pool, t Table[R], opts ...Option) (*Store[R], error) {
	if err := t.check(); err != nil {
		return nil, err
	}
	if n := pool.Config().MaxConns; n < 2 {
		return nil, fmt.Errorf("postgres: a pool of %d connections is too small: at least 2 (pool_max_conns)", n)
	}
	var o options
	for _, opt := range opts {
		opt(&o)
	}
	s := at(pool, t, t.Name)
	s.guard = o.guard
	return s, nil
}

// Open is New and Migrate.
func Open[R any](ctx context.Context, pool *pgxpool.Pool, t Table[R], opts ...Option) (*Store[R], error) {
	s, err := New(pool, t, opts...)
	if err != nil {
		return nil, err
	}
	return s, s.Migrate(ctx)
}

// at is a store over a table of this name that looks like the view's own.
func at[R any](pool *pgxpool.Pool, t Table[R], name string) *Store[R] {
	t.Columns = slices.Clone(t.Columns)
	return &Store[R]{pool: pool, table: t, name: name, sql: newStatements(t.Schema, name, t.columns())}
}

// Name implements view.Shared: it is the store's table, with its schema.
func (s *Store[R]) Name() string { return s.table.Schema + "." + s.name }

// Checkpoint implements view.Store.
func (s *Store[R]) Checkpoint(ctx context.Context) (view.Checkpoint, error) {
	return s.checkpoint(ctx, s.pool)
}

// querier is a pool, a connection or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

func (s *Store[R]) checkpoint(ctx context.Context, from querier) (view.Checkpoint, error) {
	var c view.Checkpoint
	err := from.QueryRow(ctx, s.sql.checkpoint, s.name).Scan(&c.Sequence, &c.Hash, &c.Stream, &c.Generation, &c.Behind, &c.Halted)
	if errors.Is(err, pgx.ErrNoRows) {
		return c, nil
	}
	return c, classify(err)
}

// Rows implements view.Store.
func (s *Store[R]) Rows(ctx context.Context, keys ...string) (map[string]view.Entry[R], error) {
	found := make(map[string]view.Entry[R], len(keys))
	if len(keys) == 0 {
		return found, nil
	}
	rows, err := s.pool.Query(ctx, s.sql.rows, keys)
	if err != nil {
		return nil, classify(err)
	}
	defer rows.Close()
	for rows.Next() {
		e, err := s.scan(rows)
		if err != nil {
			return nil, classify(err)
		}
		found[e.Key] = e
	}
	return found, classify(rows.Err())
}

// scan reads an entry, and whatever follows it into more.
func (s *Store[R]) scan(rows pgx.Rows, more ...any) (view.Entry[R], error) {
	var e view.Entry[R]
	targets := make([]any, 0, 2+len(s.table.Columns)+len(more))
	targets = append(targets, &e.Key, &e.Version)
	targets = append(targets, s.table.Fields(&e.Row)...)
	targets = append(targets, more...)
	return e, rows.Scan(targets...)
}

// Reset implements view.Store.
func (s *Store[R]) Reset(ctx context.Context) error {
	return classify(pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, s.sql.begin, s.name); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, s.sql.reset, s.name); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, s.sql.empty); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, s.sql.anew)
		return err
	}))
}

// lock is the key of the advisory lock of who writes the store.
func (s *Store[R]) lock() int64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte("ordermesh view " + s.Name()))
	return int64(h.Sum64()) //nolint:gosec // any bits will do
}
