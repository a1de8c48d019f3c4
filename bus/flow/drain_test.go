package flow_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/flow"
)

// drainTime is what a worker may take to leave: half a second for flows to end, five
// for the steps under way, and something for the network.
const drainTime = 10 * time.Second

// SIGTERM under load: flows that run, wait, or wait for their turn end or are handed
// over in time, nothing is repeated, and whoever comes next finishes them. The only
// worker leaves as well as one of two.
func TestTerminatedUnderLoad(t *testing.T) {
	t.Parallel()
	bustest.Each(t, func(t *testing.T, b *bustest.Broker) {
		w := worldOn(t, b)
		effects := newWitness(t, b.Dial(t))
		worker := startChild(t, b.URL())
		w.balanced(1)
		var ids []string
		var waits []func()
		for round := range 3 {
			var running, parallel []string
			var wait, waitParallel func()
			running, wait = w.flowing(fmt.Sprint("r", round, "-"), 40)
			parallel, waitParallel = w.flowingOf("wide", fmt.Sprint("p", round, "-"), 10)
			ids = append(append(ids, running...), parallel...)
			waits = append(waits, wait, waitParallel, w.dozing(fmt.Sprint("w", round, "-"), 40))
			bustest.Eventually(t, patience, func() bool { return effects.of(worker.pid()) > 100 }, "the worker to be in the middle")
			var next *child
			if round > 0 { // somebody is there to take over
				next = startChild(t, b.URL())
			}
			begun := time.Now()
			worker.terminate()
			if took := time.Since(begun); took > drainTime {
				t.Errorf("round %d: the worker took %v to leave", round, took)
			} else {
				t.Logf("round %d: the worker left after %v", round, took.Round(time.Millisecond))
			}
			if next == nil {
				next = startChild(t, b.URL())
			}
			worker = next
		}
		for _, wait := range waits {
			wait()
		}
		effects.check(t, ids, 0)
		if n := w.pending("flow." + service + ".timer.>"); n != 0 {
			t.Errorf("%d schedules are left behind", n)
		}
		worker.terminate()
		if count := w.owners(); len(count) != 0 {
			t.Errorf("partitions are still owned: %v", count)
		}
	}, bustest.WithStreams(streams()...))
}

// dozing starts flows that wait, some so long that they leave memory meanwhile, and
// waits for all of them in the background.
func (w *world) dozing(prefix string, n int) (wait func()) {
	w.t.Helper()
	def := flow.Declare[dozing, dozed]("doze", 1)
	var all sync.WaitGroup
	for i := range n {
		in := dozing{Signal: i%2 == 0, MS: int64(500 + 200*i)}
		all.Go(func() {
			begun := time.Now()
			out, err := flow.Do(within(w.t), w.client, def, fmt.Sprint(prefix, i), in)
			if err != nil || out.Woke.Sub(begun) < time.Duration(in.MS)*time.Millisecond {
				w.t.Errorf("flow %s%d woke at %v: %v", prefix, i, out.Woke, err)
			}
		})
	}
	return all.Wait
}
