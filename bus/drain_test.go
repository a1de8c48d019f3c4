package bus_test

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/ordermesh/ordermesh/bus"
)

// What was sent before the drain is acknowledged before the end: an append that is
// stored must not end as unknown.
func TestDrainWaitsForAcknowledgements(t *testing.T) {
	t.Parallel()
	_, conn := connected(t)
	const appends = 5000
	var failed atomic.Int64
	var first atomic.Value
	var ended sync.WaitGroup
	for range appends {
		ended.Add(1)
		err := conn.Appender().Start(message("a", "x"), bus.NoExpectation, func(_ bus.Ack, err error) {
			if err != nil {
				failed.Add(1)
				first.CompareAndSwap(nil, err)
			}
			ended.Done()
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := conn.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	ended.Wait()
	if n := failed.Load(); n > 0 {
		t.Errorf("%d of %d appends: %v", n, appends, first.Load())
	}
}
