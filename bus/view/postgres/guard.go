package postgres

import "context"

// Guard bounds what a database has to answer: with a time-out, a breaker or a limit, such
// as an executor of bus/policy. Its error goes to the caller as it is. It is safe for
// concurrent use.
type Guard interface {
	Do(ctx context.Context, call func(context.Context) error) error
}

// Option changes a default of a store.
type Option func(*options)

type options struct{ guard Guard }

// WithGuard has every page read under a guard, and what else is read by [Store.Guarded].
// Folding is not: whatever the database does, it goes on when that is over. Without the
// option reads are bounded by their context and the pool.
func WithGuard(g Guard) Option { return func(o *options) { o.guard = g } }

// Guarded runs a read of the view's table under the store's guard, for those who ask it
// what a page does not tell.
func (s *Store[R]) Guarded(ctx context.Context, read func(context.Context) error) error {
	if s.guard == nil {
		return read(ctx)
	}
	return s.guard.Do(ctx, read)
}
