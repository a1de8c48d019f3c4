package view

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/contract"
)

// Rebuildable is a shared store that can be filled anew beside the one that is read.
type Rebuildable[R any] interface {
	Store[R]
	Shared
	// Beside returns an empty place of the same form. Only one exists at a time.
	Beside(ctx context.Context) (Beside[R], error)
}

// Beside is a place in which a store is filled anew.
type Beside[R any] interface {
	Store[R]
	// Swap puts these rows and this checkpoint in the store's place and begins a
	// generation. Readers see all of it from one moment on, and the old rows until then.
	// The store does not move from before ready is called, with where it is, until Swap
	// returns; an error of ready leaves everything as it was.
	Swap(ctx context.Context, ready func(ctx context.Context, live Checkpoint) error) error
	// Close removes the place.
	Close(ctx context.Context) error
}

// RebuildOptions refine a rebuild.
type RebuildOptions struct {
	AcceptGaps bool         // fold what is there of entities that have lost events
	Progress   func(Status) // is told how far it is, now and then; may be nil
}

// Rebuild folds the whole stream beside a store that goes on being read and written, and
// then swaps: the rows are those of the fold as it is in this build. It returns where the
// store is then.
func Rebuild[E, R any](ctx context.Context, conn *bus.Conn, events contract.Events[E], store Rebuildable[R], fold Fold[E, R], o RebuildOptions) (at Checkpoint, err error) {
	beside, err := store.Beside(ctx)
	if err != nil {
		return at, fmt.Errorf("rebuild %s: %w", store.Name(), err)
	}
	defer func() { err = errors.Join(err, beside.Close(context.WithoutCancel(ctx))) }()
	p, err := New(conn, events, Store[R](beside), fold)
	if err != nil {
		return at, err
	}
	p.acceptGaps = o.AcceptGaps
	ctx, cancel := context.WithCancelCause(ctx)
	var folding sync.WaitGroup
	defer folding.Wait()
	defer cancel(nil)
	folding.Go(func() { cancel(p.foldBeside(ctx)) })
	if err := p.near(ctx, o.Progress); err != nil {
		return at, fmt.Errorf("rebuild %s: %w", store.Name(), err)
	}
	if err := beside.Swap(ctx, p.overtake); err != nil {
		return at, fmt.Errorf("swap %s: %w", store.Name(), err)
	}
	return store.Checkpoint(ctx)
}

// foldBeside folds until ctx ends, or until something happens that a second try would
// not mend.
func (p *Projection[E, R]) foldBeside(ctx context.Context) error {
	pauses := 0
	for {
		_, err := p.follow(ctx)
		if ctx.Err() != nil || halts(err) || errors.Is(err, ErrMoved) {
			return err
		}
		if pauses++; pauses > mostPauses || !p.pause(ctx) {
			return err
		}
	}
}

const mostPauses = 100

// near waits until a rebuild has once been at the end of the stream.
func (p *Projection[E, R]) near(ctx context.Context, progress func(Status)) error {
	for {
		at, moved := p.state()
		if _, known := p.Behind(); known && at.Behind == 0 {
			return nil
		}
		if progress != nil {
			progress(p.Status())
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// overtake waits until a rebuild is as far as the store that it replaces, which stands
// still meanwhile; or at the end of the stream, if that store has followed another one.
func (p *Projection[E, R]) overtake(ctx context.Context, live Checkpoint) error {
	for {
		at, moved := p.state()
		if at.Sequence >= live.Sequence {
			return nil
		}
		now, err := p.consume(ctx, at)
		if err != nil {
			return err
		}
		p.drop(now.consumer)
		if at.Sequence > 0 && now.pending <= 1 || now.pending == 0 { // one is at the checkpoint itself
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
