package eventstore

import (
	"context"
	"time"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/internal/spare"
)

// ErrNotReached reports that an entity has not come to a version in time.
var ErrNotReached = contract.NewError(contract.Deadline, "version_not_reached", "the version was not reached in time")

// The pauses between two looks at an entity that is waited for.
const (
	lookFirst   = 10 * time.Millisecond
	lookLongest = 200 * time.Millisecond
)

// Await is Get that waits until the entity has reached a version. When it has not while
// there is still time to say so, the answer is the entity as it is with ErrNotReached. An
// entity that does not exist is not waited for: it is version 0, without an error.
func (e *Entity[S, C, E]) Await(ctx context.Context, id string, version uint64) (S, uint64, error) {
	state, now, err := e.Get(ctx, id)
	if err != nil || now == 0 || now >= version {
		return state, now, err
	}
	enough, cancel := spare.Context(ctx)
	defer cancel()
	for pause := lookFirst; ; pause = min(pause*2, lookLongest) {
		next := time.NewTimer(pause)
		select {
		case <-next.C:
		case <-enough.Done():
			next.Stop()
			return state, now, e.notReached(ctx, now)
		}
		later, then, err := e.Get(enough, id)
		switch {
		case err != nil && enough.Err() != nil: // this look has taken the rest of the time
			return state, now, e.notReached(ctx, now)
		case err != nil || then >= version:
			return later, then, err
		}
		state, now = later, then
	}
}

func (e *Entity[S, C, E]) notReached(ctx context.Context, now uint64) error {
	if ctx.Err() != nil {
		return over(ctx)
	}
	return ErrNotReached.Sayf("the %s is at version %d", e.info.Entity, now)
}
