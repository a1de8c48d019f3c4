// Package locktest is the suite that every lock.Locker passes.
package locktest

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ordermesh/ordermesh/bus/lock"
)

const long = time.Minute

// Run runs the suite; open returns a locker whose locks are free.
func Run(t *testing.T, open func(*testing.T) lock.Locker) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, lock.Locker){
		"one at a time": oneAtATime, "a lease ends": ends, "only the holder": onlyTheHolder, "everybody at once": together, "no time": noTime,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}

func acquire(t *testing.T, l lock.Locker, name string, ttl time.Duration) lock.Lease {
	t.Helper()
	lease, err := l.Acquire(t.Context(), name, ttl)
	if err != nil {
		t.Fatal(err)
	}
	return lease
}

func oneAtATime(t *testing.T, l lock.Locker) {
	t.Helper()
	lease := acquire(t, l, "a", long)
	if _, err := l.Acquire(t.Context(), "a", long); !errors.Is(err, lock.ErrHeld) {
		t.Errorf("taken twice: %v", err)
	}
	acquire(t, l, "b", long)
	if err := lease.Extend(t.Context(), long); err != nil {
		t.Error(err)
	}
	if err := lease.Release(t.Context()); err != nil {
		t.Error(err)
	}
	acquire(t, l, "a", long)
}

func ends(t *testing.T, l lock.Locker) {
	t.Helper()
	lease := acquire(t, l, "a", 20*time.Millisecond)
	for {
		_, err := l.Acquire(t.Context(), "a", long)
		if err == nil {
			break
		}
		if !errors.Is(err, lock.ErrHeld) {
			t.Fatal(err)
		}
		<-time.After(time.Millisecond)
	}
	if err := lease.Extend(t.Context(), long); !errors.Is(err, lock.ErrLost) {
		t.Errorf("a lease that is over was extended: %v", err)
	}
}

func onlyTheHolder(t *testing.T, l lock.Locker) {
	t.Helper()
	old := acquire(t, l, "a", long)
	if err := old.Release(t.Context()); err != nil {
		t.Error(err)
	}
	acquire(t, l, "a", long)
	if err := old.Extend(t.Context(), long); !errors.Is(err, lock.ErrLost) {
		t.Errorf("who gave the lock back has extended it: %v", err)
	}
	if err := old.Release(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := l.Acquire(t.Context(), "a", long); !errors.Is(err, lock.ErrHeld) {
		t.Errorf("who gave the lock back has given back another's: %v", err)
	}
}

func together(t *testing.T, l lock.Locker) {
	t.Helper()
	var got atomic.Int64
	var all sync.WaitGroup
	for range 32 {
		all.Go(func() {
			_, err := l.Acquire(t.Context(), "a", long)
			switch {
			case err == nil:
				got.Add(1)
			case !errors.Is(err, lock.ErrHeld):
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := got.Load(); n != 1 {
		t.Errorf("%d have the lock", n)
	}
}

func noTime(t *testing.T, l lock.Locker) {
	t.Helper()
	for _, ttl := range []time.Duration{0, -time.Second, time.Microsecond} {
		if _, err := l.Acquire(t.Context(), "a", ttl); !errors.Is(err, lock.ErrTTL) {
			t.Errorf("%v: %v", ttl, err)
		}
	}
}
