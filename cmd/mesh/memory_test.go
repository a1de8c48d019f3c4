package main

import (
	"runtime"
	"testing"
	"time"

	"github.com/ordermesh/ordermesh/bus/bustest"
)

func TestGarbageIsBounded(t *testing.T) {
	t.Parallel()
	const mb = 1 << 20
	for _, c := range []struct {
		live, garbage uint64 // bytes
	}{{12 * mb, 48 * mb}, {100 * mb, 400 * mb}, {200 * mb, 400 * mb}, {400 * mb, 400 * mb}, {2000 * mb, 2000 * mb}} {
		if got := c.live * uint64(garbagePercent(c.live)) / 100; got != c.garbage {
			t.Errorf("%d MB of garbage beside %d MB, want %d", got/mb, c.live/mb, c.garbage/mb)
		}
	}
	if got := garbagePercent(0); got != lazyPercent {
		t.Errorf("before the first collection: %d", got)
	}
}

func TestEveryCollectionIsFollowed(t *testing.T) {
	t.Parallel()
	called := make(chan struct{}, 100)
	afterEachCollection(func() {
		select {
		case called <- struct{}{}:
		default:
		}
	})
	bustest.Eventually(t, 10*time.Second, func() bool {
		runtime.GC()
		return len(called) >= 3
	}, "three collections to be followed")
}
