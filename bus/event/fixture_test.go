package event_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/event"
)

func TestMain(m *testing.M) { bustest.Main(m) }

// The events of a counter, an entity for these tests.
type counterEvent interface{ counterEvent() }

type added struct {
	N int `json:"n"`
}

type cleared struct{}

func (added) counterEvent()   {}
func (cleared) counterEvent() {}

var counters = contract.NewEvents("counting", "COUNTERS", "counter",
	contract.Type[counterEvent, added]("counter.added.v1"), contract.Type[counterEvent, cleared]("counter.cleared.v1"))

var counting = contract.Service{
	Name: "counting", Appends: []contract.EventsInfo{counters.Info()},
	Consumes: []contract.Consumption{{Durable: "test", Events: counters.Info()}},
}

const patience = 20 * time.Second

// writer appends commits as an entity would.
type writer struct {
	conn *bus.Conn
	mu   sync.Mutex
	at   map[string]contract.CommitHeader // Last and Prev of the next commit
}

func newWriter(conn *bus.Conn) *writer {
	return &writer{conn: conn, at: map[string]contract.CommitHeader{}}
}

func record(typ, data string, version uint64) contract.Record {
	id := fmt.Sprintf("e%d", version)
	return contract.Record{ID: id, Type: typ, Command: "c-" + id, At: time.Now().UTC(), Data: contract.Raw(data)}
}

// add appends one commit with these numbers and returns its sequence.
func (w *writer) add(t testing.TB, id string, numbers ...int) uint64 {
	t.Helper()
	var records []contract.Record
	for i, n := range numbers {
		records = append(records, record("counter.added.v1", fmt.Sprintf(`{"n":%d}`, n), w.version(id)+uint64(i)+1))
	}
	return w.commit(t, id, records...)
}

func (w *writer) version(id string) uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.at[id].Last
}

func (w *writer) commit(t testing.TB, id string, records ...contract.Record) uint64 {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	h := w.at[id]
	h.First, h.Last = h.Last+1, h.Last+uint64(len(records))
	body, err := contract.EncodeCommit(contract.Commit{Events: records})
	check(t, err)
	subject, err := counters.Info().Subject(id)
	check(t, err)
	m := &nats.Msg{Subject: subject, Header: nats.Header{}, Data: body}
	h.SetTo(m.Header.Set)
	m.Header.Set(contract.HeaderActor, contract.Actor{Who: "tester", For: "c1"}.Encode())
	seq := w.publish(t, m, h.Prev)
	h.Prev = seq
	w.at[id] = h
	return seq
}

// publish repeats while there is no leader, or nobody knows what became of it.
func (w *writer) publish(t testing.TB, m *nats.Msg, expect uint64) uint64 {
	t.Helper()
	var seq uint64
	unknown := false
	bustest.Eventually(t, patience, func() bool {
		ack, err := w.conn.Appender().Append(t.Context(), m, expect)
		switch {
		case errors.Is(err, bus.ErrUnknown):
			unknown = true
			return false
		case errors.Is(err, bus.ErrNoStream):
			return false
		case unknown && errors.Is(err, bus.ErrConflict): // the try before was stored
			stream, err := w.conn.JetStream().Stream(t.Context(), counters.Info().Stream)
			check(t, err)
			last, err := stream.GetLastMsgForSubject(t.Context(), m.Subject)
			check(t, err)
			seq = last.Sequence
			return true
		}
		check(t, err)
		seq = ack.Sequence
		return true
	}, "the stream to take a message")
	return seq
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

type handler = func(context.Context, event.Event[counterEvent]) event.Outcome

// running is a consumer that runs until stop, or until the test ends.
type running struct {
	stop func()        // ends it and waits
	done chan struct{} // closed when Run has returned
	err  error
}

func start(t testing.TB, conn *bus.Conn, h handler, opts ...event.Option) *running {
	t.Helper()
	c, err := event.NewConsumer(conn, counters, "test", opts...)
	check(t, err)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	r := &running{done: make(chan struct{})}
	go func() {
		defer close(r.done)
		r.err = c.Run(ctx, h)
	}()
	r.stop = func() {
		cancel()
		<-r.done
	}
	t.Cleanup(func() {
		r.stop()
		if r.err != nil {
			t.Error(r.err)
		}
	})
	select {
	case <-c.Ready():
	case <-r.done:
		t.Fatal(r.err)
	}
	return r
}

// seen collects what handlers were given.
type seen struct {
	mu     sync.Mutex
	events []event.Event[counterEvent]
}

func (s *seen) add(e event.Event[counterEvent]) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, e)
}

func (s *seen) all() []event.Event[counterEvent] {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]event.Event[counterEvent](nil), s.events...)
}

func (s *seen) len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.events)
}

func (s *seen) done(_ context.Context, e event.Event[counterEvent]) event.Outcome {
	s.add(e)
	return event.Done
}

func (s *seen) wait(t testing.TB, n int) {
	t.Helper()
	bustest.Eventually(t, patience, func() bool { return s.len() >= n }, fmt.Sprintf("%d events, not %d", n, s.len()))
}

// distinct waits until n different events were seen.
func (s *seen) distinct(t testing.TB, n int) {
	t.Helper()
	count := func() int {
		ids := map[string]bool{}
		for _, e := range s.all() {
			ids[e.ID+"/"+e.EventID] = true
		}
		return len(ids)
	}
	bustest.Eventually(t, patience, func() bool { return count() >= n }, fmt.Sprintf("%d different events", n))
}

// settled waits until the server has nothing left for the consumer.
func settled(t testing.TB, conn *bus.Conn) {
	t.Helper()
	bustest.Eventually(t, patience, func() bool {
		c, err := conn.JetStream().Consumer(t.Context(), "COUNTERS", "test")
		return err == nil && c.CachedInfo().NumPending == 0 && c.CachedInfo().NumAckPending == 0
	}, "every message to be acknowledged")
}
