package view

import (
	"context"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/internal/spare"
)

// Unreadable is what a caller learns of an error of the store, for those who ask it what a
// projection does not: unavailable, with the error in the log.
func (p *Projection[E, R]) Unreadable(ctx context.Context, err error) error {
	return p.unreadable(ctx, err)
}

// ErrNotReached reports that a view has not seen an entity at a version in time.
var ErrNotReached = contract.NewError(contract.Deadline, "version_not_reached", "the version was not reached in time")

// Reflect returns once the view has seen an entity at this version, so that a list that
// is read afterwards shows it. When it has not while there is still time to say so, the
// error is ErrNotReached.
func (p *Projection[E, R]) Reflect(ctx context.Context, key string, version uint64) error {
	enough, cancel := spare.Context(ctx)
	defer cancel()
	err := p.WaitVersion(enough, key, version)
	if err == nil || ctx.Err() != nil || enough.Err() == nil {
		return err
	}
	return ErrNotReached.Sayf("the list has not seen version %d of the %s yet", version, p.events.Info().Entity)
}
