package flow_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/flow"
)

// owners counts the partitions of each owner.
func (w *world) owners() map[string]int {
	w.t.Helper()
	ctx := within(w.t)
	kv, err := w.broker.Dial(w.t).JetStream().KeyValue(ctx, contract.FlowLeaseKV)
	if err != nil {
		w.t.Fatal(err)
	}
	count := map[string]int{}
	for p := range 16 {
		e, err := kv.Get(ctx, fmt.Sprintf("%s.p.%d", service, p))
		if errors.Is(err, jetstream.ErrKeyNotFound) {
			continue
		}
		if err != nil {
			w.t.Fatal(err)
		}
		count[string(e.Value())]++
	}
	return count
}

// balanced waits until n owners share the partitions evenly.
func (w *world) balanced(n int) {
	w.t.Helper()
	bustest.Eventually(w.t, patience, func() bool {
		count := w.owners()
		if len(count) != n {
			return false
		}
		for _, c := range count {
			if c > (16+n-1)/n {
				return false
			}
		}
		return true
	}, n, " owners with an even share")
}

// flowing starts flows and waits for all of them in the background.
func (w *world) flowing(prefix string, n int) (ids []string, wait func()) {
	w.t.Helper()
	return w.flowingOf("long", prefix, n)
}

func (w *world) flowingOf(name, prefix string, n int) (ids []string, wait func()) {
	w.t.Helper()
	def := flow.Declare[args, result](name, 1)
	var wg sync.WaitGroup
	for i := range n {
		id := fmt.Sprint(prefix, i)
		ids = append(ids, id)
		wg.Go(func() {
			if out, err := flow.Do(within(w.t), w.client, def, id, args{"x"}); err != nil || out.Text != "x" {
				w.t.Errorf("flow %s: %+v, %v", id, out, err)
			}
		})
	}
	return ids, wg.Wait
}

func TestKillNineOfAWorker(t *testing.T) {
	t.Parallel()
	bustest.Each(t, func(t *testing.T, b *bustest.Broker) {
		w := worldOn(t, b)
		effects := newWitness(t, b.Dial(t))
		one, two := startChild(t, b.URL()), startChild(t, b.URL())
		w.balanced(2)
		ids, wait := w.flowing("a", 60)
		bustest.Eventually(t, patience, func() bool {
			return effects.of(one.pid()) > 60 && effects.of(two.pid()) > 60
		}, "both workers to be in the middle")
		killed := time.Now()
		one.kill()
		more, waitMore := w.flowing("b", 60)
		waitMore()
		t.Logf("fail-over: flows started after kill -9 were all done after %v", time.Since(killed).Round(time.Millisecond))
		wait()
		effects.check(t, append(ids, more...), 120) // of each flow one step was under way and one record on its way
		w.balanced(1)
		startChild(t, b.URL())
		w.balanced(2)
	}, bustest.WithStreams(streams()...))
}

// A worker that stood still and wakes up after its partitions were taken ends the
// step that it stood in and begins no other.
func TestAZombieIsFenced(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	effects := newWitness(t, w.broker.Dial(t))
	zombie, other := startChild(t, w.broker.URL()), startChild(t, w.broker.URL())
	w.balanced(2)
	ids, wait := w.flowing("a", 60)
	bustest.Eventually(t, patience, func() bool {
		return effects.of(zombie.pid()) > 60 && effects.of(other.pid()) > 60
	}, "both workers to be in the middle")
	stopped := time.Now()
	zombie.signal(syscall.SIGSTOP)
	wait()
	t.Logf("fail-over: flows of a worker that stood still were done after %v", time.Since(stopped).Round(time.Millisecond))
	woken := effects.mark()
	zombie.signal(syscall.SIGCONT)
	w.balanced(2) // it has come back under another name
	if n := effects.since(woken, zombie.pid()); n > 1 {
		t.Errorf("the zombie did %d more steps of a flow that had ended", n)
	}
	effects.check(t, ids, 180)
	woken = effects.mark()
	more, waitMore := w.flowing("b", 60)
	waitMore()
	effects.check(t, more, 0)
	if effects.since(woken, zombie.pid()) == 0 {
		t.Error("the worker that came back does nothing")
	}
}

// Workers that come and go in good order repeat nothing.
func TestWorkersComeAndGo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	effects := newWitness(t, w.broker.Dial(t))
	one := startChild(t, w.broker.URL())
	w.balanced(1)
	ids, wait := w.flowing("a", 100)
	two := startChild(t, w.broker.URL())
	three := startChild(t, w.broker.URL())
	w.balanced(3)
	more, waitMore := w.flowing("b", 100)
	two.terminate()
	one.terminate()
	w.balanced(1)
	wait()
	waitMore()
	effects.check(t, append(ids, more...), 0)
	three.terminate()
	if count := w.owners(); len(count) != 0 {
		t.Errorf("partitions are still owned: %v", count)
	}
}

// The broker goes away and comes back (R1), or its leader does (R3): flows go on.
func TestTheBrokerRestarts(t *testing.T) {
	t.Parallel()
	bustest.Each(t, func(t *testing.T, b *bustest.Broker) {
		w := worldOn(t, b)
		var effects book
		def := flow.Define("long", 1, func(run *flow.Run, in args) (result, error) {
			for i := range 10 {
				step := fmt.Sprint("s", i)
				if _, err := flow.Step(run, step, func(ctx context.Context) (int, error) {
					effects.note(step, run.Key(step))
					return i, pause(ctx, 5*time.Millisecond)
				}); err != nil {
					return result{}, err
				}
			}
			return result(in), nil
		})
		w.work(def)
		_, wait := w.flowing("a", 40)
		bustest.Eventually(t, patience, func() bool { return len(effects.names()) > 100 }, "flows to be in the middle")
		b.Stop(t, contract.FlowStream)
		_, waitMore := w.flowing("b", 40)
		b.Start(t)
		wait()
		waitMore()
		if n := len(effects.effects); n != 800 {
			t.Errorf("%d steps happened, want 800", n)
		}
		t.Logf("%d of 800 steps were repeated", len(effects.names())-800)
	}, bustest.WithStreams(streams()...))
}
