package policy

import "context"

// Do runs a call of a store under the whole policy; it is not repeated, because nobody
// has said that it may be. With it an executor can stand wherever a call wants a guard,
// as in bus/cache.
func (e *Executor) Do(ctx context.Context, call func(context.Context) error) error {
	_, err := Do(ctx, e, Call{Name: e.destination}, func(ctx context.Context) (struct{}, error) { return struct{}{}, call(ctx) })
	return err
}

// IsClosed reports whether the breaker lets calls through without trying the destination
// out first.
func (e *Executor) IsClosed() bool {
	b := e.current.Load().breaker
	if b == nil {
		return true
	}
	_, closed := b.closed()
	return closed
}
