package event_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/event"
	"github.com/ordermesh/ordermesh/bus/telemetry"
)

func TestEventsOfACommitComeInOrder(t *testing.T) {
	t.Parallel()
	conn := bustest.New(t, bustest.WithServices(counting))
	w := newWriter(conn)
	w.add(t, "a", 1, 2)
	seq := w.add(t, "a", 3, 4, 5)
	var got seen
	actors := make(chan contract.Actor, 10)
	start(t, conn, func(ctx context.Context, e event.Event[counterEvent]) event.Outcome {
		actors <- telemetry.ActorFrom(ctx)
		return got.done(ctx, e)
	}, event.WithConcurrency(1))
	got.wait(t, 5)
	settled(t, conn)

	var lines []string
	for _, e := range got.all() {
		lines = append(lines, fmt.Sprintf("%s %s %s %s v%d n%d #%d", e.Entity, e.ID, e.Type, e.Command, e.Version, e.Data.(added).N, e.Attempt))
	}
	want := []string{
		"counter a counter.added.v1 c-e1 v1 n1 #1", "counter a counter.added.v1 c-e2 v2 n2 #1",
		"counter a counter.added.v1 c-e3 v3 n3 #1", "counter a counter.added.v1 c-e4 v4 n4 #1", "counter a counter.added.v1 c-e5 v5 n5 #1",
	}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Error(diff)
	}
	last := got.all()[4]
	if last.Sequence != seq || last.Actor.Who != "tester" || last.Actor.For != "c1" {
		t.Errorf("sequence %d, actor %+v", last.Sequence, last.Actor)
	}
	if a := <-actors; a.Who != "tester" {
		t.Errorf("the context says that %+v acts", a)
	}
}

func TestEachEventHasItsOwnActor(t *testing.T) {
	t.Parallel()
	header := func(actors ...string) nats.Header {
		h := nats.Header{contract.HeaderVersion: {"1-3"}, contract.HeaderPrev: {"0"}, contract.HeaderSnap: {"0"}}
		for _, a := range actors {
			h.Add("Mesh-Actors", a)
		}
		return h
	}
	body, err := contract.EncodeCommit(contract.Commit{Events: []contract.Record{
		record("counter.cleared.v1", "{}", 1), record("counter.cleared.v1", "{}", 2), record("counter.cleared.v1", "{}", 3),
	}})
	check(t, err)
	for want, actors := range map[string][]string{"a a b": {"2 who=a", "1 who=b"}, "a  b": {"1 who=a", "1 ", "1 who=b"}, "": {"2 who=a"}} {
		list, err := event.Decode(counters, &nats.Msg{Subject: "evt.counter.x", Header: header(actors...), Data: body}, 7)
		var got []string
		for _, e := range list {
			got = append(got, e.Actor.Who)
		}
		if strings.Join(got, " ") != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v", actors, got, err)
		}
	}
}

func TestTwoProcessesShareTheWork(t *testing.T) {
	t.Parallel()
	b := bustest.Server(t, bustest.WithServices(counting))
	w := newWriter(b.Dial(t))
	var got seen
	meet := make(chan struct{})
	// Each handler waits for one in the other process: both must get work.
	for _, mine := range []bool{true, false} {
		start(t, b.Dial(t), func(ctx context.Context, e event.Event[counterEvent]) event.Outcome {
			if mine {
				select {
				case meet <- struct{}{}:
				case <-ctx.Done():
				}
			} else {
				select {
				case <-meet:
				case <-ctx.Done():
				}
			}
			return got.done(ctx, e)
		}, event.WithConcurrency(1), event.WithPrefetch(1))
	}
	for i := range 20 {
		w.add(t, fmt.Sprint("c", i), i)
	}
	got.wait(t, 20)
	if n := got.len(); n != 20 {
		t.Errorf("20 events were handled %d times", n)
	}
}

func TestSlowHandlerRunsOnce(t *testing.T) {
	t.Parallel()
	const ackWait = 300 * time.Millisecond
	b := bustest.Server(t, bustest.WithServices(counting))
	conn := b.Dial(t)
	alive := make(chan struct{}, 100)
	_, err := b.Dial(t).NATS().Subscribe("$JS.ACK.COUNTERS.test.>", func(m *nats.Msg) {
		if string(m.Data) == "+WPI" {
			alive <- struct{}{}
		}
	})
	check(t, err)
	var runs atomic.Int32
	release := make(chan struct{})
	start(t, conn, func(context.Context, event.Event[counterEvent]) event.Outcome {
		runs.Add(1)
		<-release
		return event.Done
	}, event.WithAckWait(ackWait))
	newWriter(conn).add(t, "a", 1)
	for range 15 { // a sixth of the ack wait each
		<-alive
	}
	close(release)
	settled(t, conn)
	if n := runs.Load(); n != 1 {
		t.Errorf("the handler ran %d times", n)
	}
}

func TestWorkOfAKilledProcessIsTakenUp(t *testing.T) {
	t.Parallel()
	b := bustest.Server(t, bustest.WithServices(counting))
	w := newWriter(b.Dial(t))
	for i := range 50 {
		w.add(t, fmt.Sprint("c", i), i)
	}
	killed := b.Dial(t)
	var first seen
	hang := make(chan struct{})
	dead := start(t, killed, func(ctx context.Context, e event.Event[counterEvent]) event.Outcome {
		if first.add(e); first.len() > 10 {
			<-hang
		}
		return event.Done
	}, event.WithAckWait(300*time.Millisecond), event.WithConcurrency(4), event.WithDrain(0))
	first.wait(t, 14)
	killed.Close() // nothing more reaches the server
	close(hang)
	<-dead.done
	dead.err = nil // it lost its connection

	var second seen
	conn := b.Dial(t)
	start(t, conn, second.done, event.WithAckWait(300*time.Millisecond))
	settled(t, conn)
	ids := map[string]bool{}
	for _, e := range append(first.all()[:10], second.all()...) {
		ids[e.ID] = true
	}
	if len(ids) != 50 {
		t.Errorf("%d of 50 events were finished", len(ids))
	}
}

func TestDrainFinishesWhatRunsAndGivesBackTheRest(t *testing.T) {
	t.Parallel()
	b := bustest.Server(t, bustest.WithServices(counting))
	conn := b.Dial(t)
	w := newWriter(conn)
	for i := range 100 {
		w.add(t, fmt.Sprint("c", i), i)
	}
	var first seen
	var finished atomic.Int32
	release := make(chan struct{})
	r := start(t, b.Dial(t), func(ctx context.Context, e event.Event[counterEvent]) event.Outcome {
		first.add(e)
		<-release
		if ctx.Err() != nil {
			return event.Retry(ctx.Err())
		}
		finished.Add(1)
		return event.Done
	}, event.WithConcurrency(3))
	first.wait(t, 3)
	go r.stop()
	// What was not started comes back while the first three still run.
	var second seen
	other := start(t, conn, second.done)
	second.distinct(t, 97)
	close(release)
	<-r.done
	if r.err != nil || finished.Load() != 3 || first.len() != 3 {
		t.Errorf("%v: %d started, %d finished", r.err, first.len(), finished.Load())
	}
	settled(t, conn)
	other.stop()
	if n := second.len(); n != 97 {
		t.Errorf("the other process handled %d", n)
	}
}

func TestLeaderLossLosesNothing(t *testing.T) {
	t.Parallel()
	bustest.Each(t, func(t *testing.T, b *bustest.Broker) {
		conn := b.Dial(t)
		w := newWriter(conn)
		var got seen
		start(t, b.Dial(t), got.done, event.WithAckWait(time.Second))
		for i := range 50 {
			w.add(t, fmt.Sprint("before", i), i)
		}
		got.distinct(t, 50)
		b.Stop(t, "COUNTERS")
		b.Start(t)
		for i := range 50 {
			w.add(t, fmt.Sprint("after", i), i)
		}
		got.distinct(t, 100)
		settled(t, conn)
	}, bustest.WithServices(counting))
}

func TestWaitsForItsStream(t *testing.T) {
	t.Parallel()
	conn := bustest.New(t)
	var got seen
	c, err := event.NewConsumer(conn, counters, "test")
	check(t, err)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := c.Run(ctx, got.done); err != nil {
			t.Error(err)
		}
	})
	defer wg.Wait()
	defer cancel()
	check(t, bus.Provision(t.Context(), conn, contract.Streams(counting), 1))
	newWriter(conn).add(t, "a", 1)
	got.wait(t, 1)
}

func TestADeletedDurableIsMadeAgain(t *testing.T) {
	t.Parallel()
	conn := bustest.New(t, bustest.WithServices(counting))
	w := newWriter(conn)
	var got seen
	// A durable that is made right after its namesake was deleted may find the old
	// one's unacknowledged messages on the server's disk: they come after the ack wait.
	start(t, conn, got.done, event.WithAckWait(500*time.Millisecond))
	w.add(t, "a", 1)
	got.distinct(t, 1)
	check(t, conn.JetStream().DeleteConsumer(t.Context(), "COUNTERS", "test"))
	w.add(t, "b", 1)
	got.distinct(t, 2)
	settled(t, conn)
}

func TestDriftIsNamedByField(t *testing.T) {
	t.Parallel()
	conn := bustest.New(t, bustest.WithServices(counting))
	_, err := conn.JetStream().CreateConsumer(t.Context(), "COUNTERS", jetstream.ConsumerConfig{
		Durable: "test", FilterSubject: "evt.counter.a", AckPolicy: jetstream.AckAllPolicy, MaxDeliver: 3,
	})
	check(t, err)
	c, err := event.NewConsumer(conn, counters, "test")
	check(t, err)
	err = c.Run(t.Context(), new(seen).done)
	var drift *event.DriftError
	if !errors.As(err, &drift) {
		t.Fatalf("got %v", err)
	}
	var fields []string
	for _, f := range drift.Fields {
		fields = append(fields, f.Field)
	}
	if diff := cmp.Diff([]string{"filter_subject", "ack_policy", "max_deliver"}, fields); diff != "" {
		t.Error(diff)
	}
	if !strings.Contains(err.Error(), "max_deliver is 3, needed is -1") {
		t.Error(err)
	}
}

func TestBadOptionsAreRefused(t *testing.T) {
	t.Parallel()
	conn := bustest.New(t)
	for _, opt := range []event.Option{
		event.WithConcurrency(0), event.WithPrefetch(-1), event.WithAckWait(0), event.WithAttempts(0),
		event.WithBackoff(2, 1), event.Types(), event.WithDrain(-1),
	} {
		if _, err := event.NewConsumer(conn, counters, "test", opt); err == nil {
			t.Error("an option that makes no sense was taken")
		}
	}
	if _, err := event.NewConsumer(conn, counters, "a.b"); err == nil {
		t.Error("a durable name that cannot be a subject token was taken")
	}
}
