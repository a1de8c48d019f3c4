// Package lock lets processes agree on who does a piece of work, so that it is not done
// twice for nothing, in this process ([NewMemory]) or among all of them (bus/redis).
//
// The lock is advisory. Two may hold it at the same time: a holder that was paused for
// longer than its lease, a Redis that was emptied or has failed over. It saves work and
// promises nothing. What must not happen twice is made sure of where it is written: by
// compare-and-append, which refuses the second writer whether or not it has a lock.
package lock

import (
	"context"
	"errors"
	"time"
)

// ErrHeld reports that another holds the lock.
var ErrHeld = errors.New("another holds the lock")

// ErrLost reports that a lease is over: its time was up, or the locks were lost.
var ErrLost = errors.New("the lock was lost")

// Locker gives out locks. Implementations pass the suite in locktest and are safe for
// concurrent use.
type Locker interface {
	// Acquire takes a lock for some time, or returns ErrHeld at once.
	Acquire(ctx context.Context, name string, ttl time.Duration) (Lease, error)
}

// Lease is a lock that is held.
type Lease interface {
	// Extend holds the lock for ttl from now, or returns ErrLost.
	Extend(ctx context.Context, ttl time.Duration) error
	// Release gives the lock back; one that was lost is nobody's business any more.
	Release(ctx context.Context) error
}

// extensions is how often a lease is extended within its time.
const extensions = 3

// Do calls work while it holds the lock, or returns ErrHeld at once. The lock is extended
// as long as the work takes; when it is lost, or cannot be extended in time, the
// context of the work ends with ErrLost as its cause, which the work may not notice in
// time: see the package's comment.
func Do(ctx context.Context, l Locker, name string, ttl time.Duration, work func(context.Context) error) error {
	lease, err := l.Acquire(ctx, name, ttl)
	if err != nil {
		return err
	}
	working, cancel := context.WithCancelCause(ctx)
	extended := make(chan struct{})
	go func() {
		defer close(extended)
		cancel(extend(working, lease, ttl))
	}()
	err = work(working)
	cancel(context.Canceled)
	<-extended
	releasing, stop := context.WithTimeout(context.WithoutCancel(ctx), ttl)
	defer stop()
	if lost := context.Cause(working); errors.Is(lost, ErrLost) {
		return errors.Join(err, lost)
	}
	return errors.Join(err, lease.Release(releasing))
}

// extend holds the lease until ctx ends, or until it is lost for certain or perhaps.
func extend(ctx context.Context, lease Lease, ttl time.Duration) error {
	tick := time.NewTicker(ttl / extensions)
	defer tick.Stop()
	sure := time.Now()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		asked := time.Now()
		trying, cancel := context.WithDeadline(ctx, sure.Add(ttl))
		err := lease.Extend(trying, ttl)
		cancel()
		switch {
		case err == nil:
			sure = asked
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, ErrLost), time.Since(sure) > ttl-ttl/extensions:
			return errors.Join(ErrLost, err)
		}
	}
}
