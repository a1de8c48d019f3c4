package postgres

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"github.com/ordermesh/ordermesh/bus/view"
)

var (
	_ view.Rebuildable[struct{}] = (*Store[struct{}])(nil)
	_ view.Verifiable[struct{}]  = (*Store[struct{}])(nil)
)

// ErrRebuilding reports that the view is being rebuilt already.
var ErrRebuilding = errors.New("another process is rebuilding this view")

// nextSuffix follows the name of a table that is being filled anew.
const nextSuffix = "_next"

// beside is a second table of the same form.
type beside[R any] struct {
	*Store[R]
	live   *Store[R]
	holder *pgx.Conn // of the lock that only one rebuild has
}

// Beside implements view.Rebuildable: it is the table <name>_next. What an earlier
// rebuild has left there is removed.
func (s *Store[R]) Beside(ctx context.Context) (view.Beside[R], error) {
	if err := s.Migrate(ctx); err != nil {
		return nil, err
	}
	b := &beside[R]{Store: at(s.pool, s.table, s.name+nextSuffix), live: s}
	pooled, err := s.pool.Acquire(ctx)
	if err != nil {
		return nil, classify(err)
	}
	b.holder = pooled.Hijack()
	if err := b.prepare(ctx); err != nil {
		return nil, errors.Join(err, b.holder.Close(ctx))
	}
	return b, nil
}

func (b *beside[R]) prepare(ctx context.Context) error {
	var alone bool
	if err := b.holder.QueryRow(ctx, "SELECT pg_try_advisory_lock($1)", b.lock()).Scan(&alone); err != nil {
		return classify(err)
	}
	if !alone {
		return ErrRebuilding
	}
	batch := &pgx.Batch{}
	b.queueDrop(batch)
	batch.Queue("CREATE TABLE " + b.sql.table + " (LIKE " + b.live.sql.table + " INCLUDING ALL)")
	batch.Queue(b.sql.begin, b.name)
	return classify(b.holder.SendBatch(ctx, batch).Close())
}

func (b *beside[R]) queueDrop(batch *pgx.Batch) {
	batch.Queue("DROP TABLE IF EXISTS " + b.sql.table)
	batch.Queue(b.sql.forget, b.name)
}

// Close implements view.Beside.
func (b *beside[R]) Close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	batch := &pgx.Batch{}
	b.queueDrop(batch)
	err := classify(b.holder.SendBatch(ctx, batch).Close())
	return errors.Join(err, b.holder.Close(ctx))
}

// Swap implements view.Beside. The rows are moved over in one transaction that changes
// only those that differ: who reads meanwhile sees the old ones, and names of tables and
// indexes stay what the migrations made them. Who writes waits, and then finds another
// generation.
func (b *beside[R]) Swap(ctx context.Context, ready func(context.Context, view.Checkpoint) error) error {
	err := pgx.BeginFunc(ctx, b.pool, func(tx pgx.Tx) error {
		live, err := b.live.locked(ctx, tx)
		if err != nil {
			return err
		}
		if err := ready(ctx, live); err != nil {
			return err
		}
		next, err := b.locked(ctx, tx)
		if err != nil {
			return err
		}
		for _, sql := range []string{b.sql.remove(&b.live.sql), b.sql.replace(&b.live.sql)} {
			if _, err := tx.Exec(ctx, sql); err != nil {
				return err
			}
		}
		_, err = tx.Exec(ctx, b.sql.take, b.live.name, next.Sequence, next.Hash, next.Stream, next.Behind)
		if err == nil {
			_, err = tx.Exec(ctx, b.live.sql.anew)
		}
		return err
	})
	return classify(err)
}

// locked is the checkpoint, which nobody moves until the transaction ends.
func (s *Store[R]) locked(ctx context.Context, tx pgx.Tx) (view.Checkpoint, error) {
	if _, err := tx.Exec(ctx, s.sql.checkpoint+" FOR UPDATE", s.name); err != nil {
		return view.Checkpoint{}, err
	}
	return s.checkpoint(ctx, tx)
}

// Each implements view.Verifiable.
func (s *Store[R]) Each(ctx context.Context, visit func(view.Entry[R]) error) (at view.Checkpoint, err error) {
	snapshot := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
	err = pgx.BeginTxFunc(ctx, s.pool, snapshot, func(tx pgx.Tx) error {
		if at, err = s.checkpoint(ctx, tx); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, s.sql.all)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			e, err := s.scan(rows)
			if err != nil {
				return err
			}
			if err := visit(e); err != nil {
				return err
			}
		}
		return rows.Err()
	})
	return at, classify(err)
}

// Digest implements view.Verifiable.
func (s *Store[R]) Digest(e view.Entry[R]) string {
	return digest(s.values(&e))
}
