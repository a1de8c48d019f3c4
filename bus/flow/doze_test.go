package flow_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/flow"
	"github.com/ordermesh/ordermesh/embedded/natsd"
)

// dozing is how a flow waits: for a time, or for a signal that never comes.
type dozing struct {
	Signal bool  `json:"signal,omitzero"`
	MS     int64 `json:"ms"`
}

type dozed struct {
	Woke time.Time `json:"woke"`
}

// doze is a flow that only waits and tells when it woke up.
func doze() flow.Definition[dozing, dozed] {
	return flow.Define("doze", 1, func(run *flow.Run, in dozing) (dozed, error) {
		d := time.Duration(in.MS) * time.Millisecond
		if !in.Signal {
			err := run.Sleep("nap", d)
			return dozed{run.Now()}, err
		}
		if _, err := flow.Await[string](run, "never", d); !errors.Is(err, flow.ErrTimedOut) {
			return dozed{}, err
		}
		return dozed{run.Now()}, nil
	})
}

// crashing is a NATS server and a worker that die together.
type crashing struct {
	*world
	server *natsd.Child
	worker *child
	conn   *bus.Conn
}

func newCrashing(t *testing.T) *crashing {
	t.Helper()
	server, err := natsd.StartChild(within(t), natsd.Config{Port: -1, StoreDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	conn, err := bus.Dial(within(t), bus.Config{URL: server.URL(), Service: "caller"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	if err := bus.Provision(within(t), conn, streams(), 1); err != nil {
		t.Fatal(err)
	}
	return &crashing{
		world: &world{t: t, client: flow.NewClient(conn, service)}, server: server, worker: startChild(t, server.URL()), conn: conn,
	}
}

// kill ends both with SIGKILL.
func (c *crashing) kill() {
	c.t.Helper()
	var both sync.WaitGroup
	both.Go(c.worker.kill)
	if err := c.server.Kill(); err != nil {
		c.t.Fatal(err)
	}
	both.Wait()
}

// restart brings both back and returns when the worker is ready.
func (c *crashing) restart() time.Time {
	c.t.Helper()
	if err := c.server.Restart(within(c.t)); err != nil {
		c.t.Fatal(err)
	}
	c.worker = startChild(c.t, c.server.URL())
	return time.Now()
}

// alarms counts the schedules that are left in the stream.
func (c *crashing) alarms() uint64 {
	c.t.Helper()
	filter := "flow." + service + ".timer.>"
	stream, err := c.conn.JetStream().Stream(within(c.t), contract.FlowStream)
	if err != nil {
		c.t.Fatal(err)
	}
	info, err := stream.Info(within(c.t), jetstream.WithSubjectFilter(filter))
	if err != nil {
		c.t.Fatal(err)
	}
	var n uint64
	for _, count := range info.State.Subjects {
		n += count
	}
	return n
}

// wake is how a doze ended.
type wake struct {
	due, woke time.Time
}

// asleep starts n flows whose waits end between shortest and longest, and returns once
// each of them waits. ok is false when the machine was so slow that one has ended.
func (c *crashing) asleep(prefix string, n int, shortest, longest time.Duration) (ids []string, ok bool) {
	c.t.Helper()
	def := doze()
	for i := range n {
		id := fmt.Sprint(prefix, i)
		ids = append(ids, id)
		d := shortest + (longest-shortest)*time.Duration(i)/time.Duration(n)
		in := dozing{Signal: i%2 == 1, MS: d.Milliseconds()}
		if _, err := flow.Start(within(c.t), c.client, def, id, in); err != nil {
			c.t.Fatal(err)
		}
	}
	ok = true
	for _, id := range ids {
		bustest.Eventually(c.t, patience, func() bool {
			state, err := c.client.Get(within(c.t), "doze", id)
			ok = ok && state.Status != flow.Completed
			return err == nil && (state.Status == flow.Waiting || state.Status == flow.Completed)
		}, "flow ", id, " to wait")
	}
	return ids, ok
}

// woken waits for the end of each flow and only looks: nothing else may wake it.
func (c *crashing) woken(ids []string) []wake {
	c.t.Helper()
	var all []wake
	for _, id := range ids {
		state := c.state("doze", id, flow.Completed)
		var out dozed
		if err := contract.UnmarshalLenient(state.Result, &out); err != nil {
			c.t.Fatalf("flow %s: %v", id, err)
		}
		due := state.Steps[0].Due
		if due.IsZero() {
			c.t.Fatalf("flow %s has no due time: %+v", id, state.Steps)
		}
		all = append(all, wake{due: due, woke: out.Woke})
	}
	return all
}

// sound has flows asleep, all at the same time, and tells when about half of them are due.
func (c *crashing) sound(round, sleepers int) (ids []string, halfTime time.Time) {
	c.t.Helper()
	for shortest := 3 * time.Second; ; shortest *= 2 {
		begun := time.Now()
		ids, ok := c.asleep(fmt.Sprintf("r%d-%d-", round, int(shortest.Seconds())), sleepers, shortest, shortest+2*time.Second)
		if ok {
			return ids, begun.Add(shortest + time.Second)
		}
	}
}

// Flows sleep while everything is killed and started again. What was due meanwhile
// goes on as soon as a worker is ready, nothing goes on early, and no alarm is left.
// MESH_LONG=1 does it ten times with more flows.
func TestTimersOutliveTheirProcesses(t *testing.T) {
	t.Parallel()
	rounds, sleepers := 1, 100
	if os.Getenv("MESH_LONG") != "" {
		rounds, sleepers = 10, 400
	}
	c := newCrashing(t)
	var late, usual []time.Duration // after the worker was ready; after the due time
	for round := range rounds {
		ids, halfTime := c.sound(round, sleepers)
		c.kill()
		ctx, cancel := context.WithDeadline(t.Context(), halfTime) // about half of them are due by then
		<-ctx.Done()
		cancel()
		ready := c.restart()
		for _, w := range c.woken(ids) {
			if w.woke.Before(w.due) {
				t.Errorf("woke %v early", w.due.Sub(w.woke))
			}
			if w.due.Before(ready) {
				late = append(late, w.woke.Sub(ready))
			} else {
				usual = append(usual, w.woke.Sub(w.due))
			}
		}
		bustest.Eventually(t, patience, func() bool { return c.alarms() == 0 }, "all alarms to be gone")
	}
	if len(late) == 0 {
		t.Fatal("no timer was due while everything was down")
	}
	t.Logf("%d rounds, %d sleepers: those due while everything was down woke up after the worker was ready: %s; the others after their time: %s",
		rounds, rounds*sleepers, figures(late), figures(usual))
	if worst := slices.Max(late); worst > 20*time.Second {
		t.Errorf("a timer that was due was forgotten for %v", worst)
	}
}

// figures are the number, the median and the worst of some times.
func figures(times []time.Duration) string {
	if len(times) == 0 {
		return "none"
	}
	slices.Sort(times)
	return fmt.Sprintf("%d, median %v, worst %v", len(times),
		times[len(times)/2].Round(time.Millisecond), times[len(times)-1].Round(time.Millisecond))
}
