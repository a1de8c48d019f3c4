package flow_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/flow"
	"github.com/ordermesh/ordermesh/bus/flow/internal/stormtest"
)

// Random flows on a real server while workers are cut off or stopped at random: each
// flow ends as the model says, and nothing is left behind. MESH_LONG=1 has many more
// flows, on three servers as well, and restarts the server that leads the stream.
func TestStorm(t *testing.T) {
	t.Parallel()
	if os.Getenv("MESH_LONG") == "" {
		w := newWorld(t)
		w.storm(40, 4, false)
		return
	}
	bustest.Each(t, func(t *testing.T, b *bustest.Broker) {
		worldOn(t, b).storm(1000, 40, true)
	}, bustest.WithStreams(streams()...))
}

// storm runs n programs through so many losses of a worker.
func (w *world) storm(n, losses int, restarts bool) {
	w.t.Helper()
	seed := uint64(time.Now().UnixNano())
	w.t.Log("the seed is", seed)
	r := rand.New(rand.NewPCG(seed, seed))
	books := stormtest.NewBooks()
	waits := []time.Duration{20 * time.Millisecond, 300 * time.Millisecond, 1499 * time.Millisecond, 1600 * time.Millisecond, 3 * time.Second, 5 * time.Second}
	var all sync.WaitGroup
	var programs []stormtest.Program
	for i := range n {
		p := stormtest.Generate(seed+uint64(i), fmt.Sprint("p", i), waits)
		programs = append(programs, p)
		after := time.Duration(r.Int64N(int64(time.Duration(losses) * time.Second / 3)))
		all.Go(func() {
			<-time.After(after)
			w.disturb(p)
		})
	}
	workers := []*worker{w.work(books.Flows(4 * time.Second)...), w.work(books.Flows(4 * time.Second)...)}
	var gone sync.WaitGroup
	for range losses {
		<-time.After(time.Duration(r.Int64N(int64(time.Second))))
		i := r.IntN(len(workers))
		if victim := workers[i]; r.IntN(3) > 0 {
			victim.crash()
			gone.Go(victim.stop)
		} else {
			victim.stop()
		}
		if restarts && r.IntN(8) == 0 {
			w.broker.Stop(w.t, contract.FlowStream)
			w.broker.Start(w.t)
		}
		workers[i] = w.work(books.Flows(4 * time.Second)...)
	}
	all.Wait()
	for _, p := range programs {
		w.judge(books, p)
	}
	bustest.Eventually(w.t, patience, func() bool { return w.pending("flow."+service+".timer.>") == 0 }, "no alarm to be left")
	bustest.Eventually(w.t, patience, func() bool { return w.unacked() == 0 }, "every input to be acknowledged")
	gone.Wait()
}

// disturb starts, signals and cancels a program.
func (w *world) disturb(p stormtest.Program) {
	w.insist(p, func() error {
		_, err := flow.Start(within(w.t), w.client, p.Definition(), p.ID, p.Input())
		return err
	})
	var all sync.WaitGroup
	for i, after := range p.Words {
		all.Go(func() {
			<-time.After(after)
			for range 1 + i%2 { // sent twice, counted once
				w.insist(p, func() error {
					return w.client.Signal(within(w.t), p.Flow, p.ID, stormtest.SignalName, fmt.Sprint(i), stormtest.Word(i))
				})
			}
		})
	}
	if p.Cancel > 0 {
		<-time.After(p.Cancel)
		w.insist(p, func() error { return w.client.Cancel(within(w.t), p.Flow, p.ID, "enough") })
	}
	all.Wait()
}

// insist tries until the server is there. A flow that has ended needs nothing more.
func (w *world) insist(p stormtest.Program, f func() error) {
	var err error
	bustest.Eventually(w.t, patience, func() bool {
		err = f()
		return !errors.Is(err, contract.ErrUnavailable)
	}, "the server to answer")
	if err != nil && !errors.Is(err, flow.ErrEnded) {
		w.t.Errorf("%v: %v", p, err)
	}
}

func (w *world) judge(books *stormtest.Books, p stormtest.Program) {
	w.t.Helper()
	ended := func(name, id string) (s flow.State, err error) {
		bustest.Eventually(w.t, patience, func() bool {
			s, err = w.client.Get(within(w.t), name, id)
			return err == nil && (s.Status.Ended() || s.Status == flow.Stuck) || errors.Is(err, flow.ErrNotFound)
		}, p, " to end")
		return s, err
	}
	state, err := ended(p.Flow, p.ID)
	if err == nil {
		err = books.Judge(p, state)
	}
	if err != nil {
		w.t.Errorf("%v: %v", p, err)
	}
	for _, id := range p.Children() {
		if s, err := ended(stormtest.Kid, id); err == nil && !s.Status.Ended() {
			w.t.Errorf("%v: its child %s is %s", p, id, s.Status)
		}
	}
}

// unacked is how many inputs are not acknowledged, or were never delivered.
func (w *world) unacked() (n uint64) {
	js := w.broker.Dial(w.t, bustest.WithService("onlooker")).JetStream()
	for p := range 16 {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		c, err := js.Consumer(ctx, contract.FlowStream, fmt.Sprint(service, "-", p))
		cancel()
		if err != nil {
			return 1
		}
		info := c.CachedInfo()
		n += info.NumPending + uint64(info.NumAckPending)
	}
	return n
}
