package event

import (
	"context"
	"strconv"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/contract"
)

// The server may deliver a message again while its handler runs: the race detector
// watches what both sides touch.
func TestARedeliveryMeetsARunningHandler(t *testing.T) {
	t.Parallel()
	o, err := buildOptions(nil)
	if err != nil {
		t.Fatal(err)
	}
	c := newCore(bustest.New(t), contract.EventsInfo{Entity: "counter", Stream: "COUNTERS"}, "test", o)
	delivered := func(attempt int) *nats.Msg {
		return &nats.Msg{Subject: "evt.counter.a", Reply: "$JS.ACK.COUNTERS.test." + strconv.Itoa(attempt) + ".1." + strconv.Itoa(attempt) + ".1700000000000000000.0"}
	}
	running, again := make(chan struct{}), make(chan struct{})
	c.handle = func(context.Context, *delivery) verdict {
		close(running)
		<-again
		return verdict{}
	}
	done := make(chan struct{})
	c.receive(delivered(1))
	go func() {
		defer close(done)
		c.process(t.Context(), <-c.work)
	}()
	<-running
	var receiving sync.WaitGroup
	receiving.Go(func() { c.receive(delivered(2)) }) // nothing but the lock orders the two
	close(again)
	<-done
	receiving.Wait()
	if n := c.count.Load(); n > 1 {
		t.Errorf("%d deliveries are held", n)
	}
}
