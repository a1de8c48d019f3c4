package postgres

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ordermesh/ordermesh/bus/view"
)

// few is up to how many rows are written one by one, in one round trip. More go through
// a temporary table.
const few = 32

// Apply implements view.Store.
func (s *Store[R]) Apply(ctx context.Context, from, to view.Checkpoint, changes []view.Change[R]) error {
	if len(changes) <= few {
		return classify(s.applyFew(ctx, from, to, changes))
	}
	return classify(s.applyMany(ctx, from, to, changes))
}

func (s *Store[R]) moveArgs(from, to view.Checkpoint) []any {
	return []any{s.name, from.Generation, from.Sequence, to.Sequence, to.Hash, to.Stream, to.Behind}
}

// applyFew sends everything at once: without an explicit one, a batch is a transaction.
func (s *Store[R]) applyFew(ctx context.Context, from, to view.Checkpoint, changes []view.Change[R]) error {
	batch := &pgx.Batch{}
	batch.Queue(s.sql.move, s.moveArgs(from, to)...)
	for i := range changes {
		batch.Queue(s.sql.upsert, s.values(&changes[i].Entry)...)
	}
	batch.Queue(s.sql.notify)
	return s.pool.SendBatch(ctx, batch).Close()
}

func (s *Store[R]) applyMany(ctx context.Context, from, to view.Checkpoint, changes []view.Change[R]) error {
	return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		batch := &pgx.Batch{}
		batch.Queue(s.sql.move, s.moveArgs(from, to)...)
		batch.Queue(s.sql.provide)
		if err := tx.SendBatch(ctx, batch).Close(); err != nil {
			return err
		}
		rows := pgx.CopyFromSlice(len(changes), func(i int) ([]any, error) { return s.values(&changes[i].Entry), nil })
		if _, err := tx.CopyFrom(ctx, pgx.Identifier{s.sql.temporary}, s.sql.columns, rows); err != nil {
			return fmt.Errorf("copy %d rows: %w", len(changes), err)
		}
		batch = &pgx.Batch{}
		batch.Queue(s.sql.merge)
		batch.Queue(s.sql.notify)
		return tx.SendBatch(ctx, batch).Close()
	})
}

// values are an entry's columns.
func (s *Store[R]) values(e *view.Entry[R]) []any {
	fields := s.table.Fields(&e.Row)
	values := make([]any, 2, 2+len(fields))
	values[0], values[1] = e.Key, e.Version
	for _, f := range fields {
		values = append(values, storable(f))
	}
	return values
}

// storable is a field as PostgreSQL can take it.
func storable(field any) any {
	switch f := field.(type) {
	case *string:
		return text(*f)
	case *time.Time:
		return *f
	case *uint64:
		return *f
	case *int64:
		return *f
	}
	v := reflect.ValueOf(field)
	if v.Kind() == reflect.Pointer && !v.IsNil() && v.Elem().Kind() == reflect.String {
		return text(v.Elem().String())
	}
	return field
}

func text(s string) string {
	if strings.IndexByte(s, 0) >= 0 {
		s = strings.ReplaceAll(s, "\x00", "\uFFFD")
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}
