package event_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/event"
)

// order checks that every entity's events come in order, that none is skipped, and
// that no two of one entity run at once.
type order struct {
	t       *testing.T
	mu      sync.Mutex
	version map[string]uint64
	running map[string]int
	count   int
}

func newOrder(t *testing.T) *order {
	return &order{t: t, version: map[string]uint64{}, running: map[string]int{}}
}

// begin reports whether the event is new; a redelivery may repeat an old one.
func (o *order) begin(e event.Event[counterEvent]) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.running[e.ID]++; o.running[e.ID] > 1 {
		o.t.Errorf("two events of %s run at once", e.ID)
	}
	if e.Version > o.version[e.ID]+1 {
		o.t.Errorf("%s: version %d came after %d", e.ID, e.Version, o.version[e.ID])
	}
}

func (o *order) end(e event.Event[counterEvent]) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.running[e.ID]--
	if e.Version == o.version[e.ID]+1 {
		o.version[e.ID]++
		o.count++
	}
}

func (o *order) total() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.count
}

func (o *order) handle(_ context.Context, e event.Event[counterEvent]) event.Outcome {
	o.begin(e)
	defer o.end(e)
	return event.Done
}

func TestOrderedKeepsOrderThroughFailures(t *testing.T) {
	t.Parallel()
	conn := bustest.New(t, bustest.WithServices(counting))
	w := newWriter(conn)
	const entities, commits = 20, 20
	for n := range commits {
		for i := range entities {
			w.add(t, fmt.Sprint("c", i), n, n)
		}
	}
	o := newOrder(t)
	start(t, conn, func(_ context.Context, e event.Event[counterEvent]) event.Outcome {
		o.begin(e)
		if e.Version%7 == 0 && e.Attempt == 1 && len(e.EventID)%2 == 0 && o.first(e) {
			o.fail(e)
			return event.Retry(fmt.Errorf("version %d fails once", e.Version))
		}
		o.end(e)
		return event.Done
	}, event.Ordered(), event.WithBackoff(time.Millisecond, time.Millisecond))
	bustest.Eventually(t, patience, func() bool { return o.total() == 2*entities*commits }, "every event in order")
	settled(t, conn)
}

// first reports whether this event has not failed yet.
func (o *order) first(e event.Event[counterEvent]) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	key := fmt.Sprint("failed/", e.ID, "/", e.Version)
	o.version[key]++
	return o.version[key] == 1
}

func (o *order) fail(e event.Event[counterEvent]) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.running[e.ID]--
}

func TestOrderedFailsOver(t *testing.T) {
	t.Parallel()
	bustest.Each(t, func(t *testing.T, b *bustest.Broker) {
		w := newWriter(b.Dial(t))
		const entities = 10
		write := func(commits int) {
			for n := range commits {
				for i := range entities {
					w.add(t, fmt.Sprint("c", i), n)
				}
			}
		}
		write(10)
		o := newOrder(t)
		opts := []event.Option{event.Ordered(), event.WithAckWait(2 * time.Second), event.WithConcurrency(4)}

		// The first process hangs in the middle and then dies with messages taken and
		// unfinished.
		hang, hung := make(chan struct{}), make(chan struct{}, 100)
		killed := b.Dial(t)
		dead := start(t, killed, func(ctx context.Context, e event.Event[counterEvent]) event.Outcome {
			if e.Version > 5 && e.ID != "c0" {
				hung <- struct{}{}
				<-hang
				return event.Done
			}
			return o.handle(ctx, e)
		}, opts...)
		for range 4 {
			<-hung
		}
		killed.Close()
		second := start(t, b.Dial(t), o.handle, opts...)
		write(10) // newer than everything that the first one was given
		bustest.Eventually(t, patience, func() bool { return o.total() == 20*entities }, "the second process to finish everything in order")
		close(hang)
		<-dead.done
		dead.err = nil // it lost its connection

		// A process that ends in good order hands over without a pause.
		third := start(t, b.Dial(t), o.handle, opts...)
		second.stop()
		write(5)
		bustest.Eventually(t, patience, func() bool { return o.total() == 25*entities }, "the third process to go on in order")
		third.stop()
	}, bustest.WithServices(counting))
}
