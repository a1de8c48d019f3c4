package policy

import "context"

// Door is one kind of call of an executor, for who knows no policies: a cache in front of
// its shared level, a reader of a database. It is a cache.Guard.
type Door struct {
	executor *Executor
	call     Call
}

// Door returns an executor for calls that are all alike.
func (e *Executor) Door(c Call) Door { return Door{e, c} }

// Do runs a call under the policy.
func (d Door) Do(ctx context.Context, call func(context.Context) error) error {
	_, err := Do(ctx, d.executor, d.call, func(ctx context.Context) (struct{}, error) { return struct{}{}, call(ctx) })
	return err
}

// IsClosed reports whether a call would go through without being a trial.
func (d Door) IsClosed() bool {
	b := d.executor.current.Load().breaker
	if b == nil {
		return true
	}
	_, closed := b.closed()
	return closed
}
