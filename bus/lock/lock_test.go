package lock_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ordermesh/ordermesh/bus/lock"
	"github.com/ordermesh/ordermesh/bus/lock/locktest"
)

func TestMemory(t *testing.T) {
	t.Parallel()
	locktest.Run(t, func(*testing.T) lock.Locker { return lock.NewMemory() })
}

func TestDoHoldsTheLockAsLongAsTheWorkTakes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := lock.NewMemory()
		err := lock.Do(t.Context(), m, "a", time.Second, func(ctx context.Context) error {
			time.Sleep(time.Minute) //nolint:forbidigo // the bubble's clock
			if err := lock.Do(ctx, m, "a", time.Second, func(context.Context) error { return nil }); !errors.Is(err, lock.ErrHeld) {
				t.Errorf("a minute later the lock could be taken: %v", err)
			}
			return ctx.Err()
		})
		if err != nil {
			t.Error(err)
		}
		if _, err := m.Acquire(t.Context(), "a", time.Second); err != nil {
			t.Errorf("after the work: %v", err)
		}
	})
}

// failing is a locker whose leases cannot be extended.
type failing struct {
	lock.Lease
	err error
}

func (f failing) Acquire(context.Context, string, time.Duration) (lock.Lease, error) { return f, nil }
func (f failing) Extend(context.Context, time.Duration) error                        { return f.err }
func (f failing) Release(context.Context) error                                      { return nil }

func TestTheWorkHearsThatTheLockIsLost(t *testing.T) {
	t.Parallel()
	for name, err := range map[string]error{"lost": lock.ErrLost, "out of reach": errors.New("down")} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				begin := time.Now()
				got := lock.Do(t.Context(), failing{err: err}, "a", 3*time.Second, func(ctx context.Context) error {
					<-ctx.Done()
					return context.Cause(ctx)
				})
				if !errors.Is(got, lock.ErrLost) || time.Since(begin) > 3*time.Second {
					t.Errorf("after %v: %v", time.Since(begin), got)
				}
			})
		})
	}
}

func ExampleDo() {
	err := lock.Do(context.Background(), lock.NewMemory(), "report", time.Minute, func(context.Context) error {
		fmt.Println("one of us writes the report")
		return nil
	})
	fmt.Println(err)
	// Output:
	// one of us writes the report
	// <nil>
}
