package bustest

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/ordermesh/ordermesh/bus"
)

// Service is what serves until its context ends and says when it does.
type Service interface {
	bus.Runner
	Ready() <-chan struct{}
}

// Run starts services and waits until each is ready. They end with stop, or with the
// test, before the connections that were made earlier. An error of theirs fails the test.
func Run[S Service](t testing.TB, services ...S) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var running sync.WaitGroup
	for _, s := range services {
		running.Go(func() {
			if err := s.Run(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	stop = func() {
		cancel()
		running.Wait()
	}
	t.Cleanup(stop)
	late := time.NewTimer(patience)
	defer late.Stop()
	for _, s := range services {
		select {
		case <-s.Ready():
		case <-late.C:
			t.Fatal("a service does not become ready")
		}
	}
	return stop
}
