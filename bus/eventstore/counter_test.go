package eventstore_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/eventstore"
)

// counter is the entity that the tests work on: it counts up to a limit.
type counter struct {
	N     int    `json:"n"`
	Limit int    `json:"limit,omitempty"`
	Note  string `json:"note,omitempty"`
}

type counterEvent interface{ counterEvent() }

type (
	added   struct{ By int }
	limited struct{ To int }
	noted   struct{ Text string }
)

func (added) counterEvent()   {}
func (limited) counterEvent() {}
func (noted) counterEvent()   {}

type command struct {
	add   int // 0 is nothing to do
	limit int
	note  string
	times int // events of add, 1 unless told
	panic bool
}

var errLimit = contract.NewError(contract.Conflict, "limit", "the counter is at its limit")

var counterEvents = contract.NewEvents[counterEvent]("test", "TEST", "counter",
	contract.Type[counterEvent, added]("counter.added.v1"),
	contract.Type[counterEvent, limited]("counter.limited.v1"),
	contract.Type[counterEvent, noted]("counter.noted.v1"))

func decide(c counter, cmd command) ([]counterEvent, error) {
	switch {
	case cmd.panic:
		panic("as told")
	case cmd.limit > 0:
		return []counterEvent{limited{cmd.limit}}, nil
	case cmd.note != "":
		return []counterEvent{noted{cmd.note}}, nil
	case cmd.add == 0:
		return nil, nil
	case c.Limit > 0 && c.N+cmd.add > c.Limit:
		return nil, errLimit
	}
	events := []counterEvent{added{cmd.add}}
	for range cmd.times - 1 {
		events = append(events, added{cmd.add})
	}
	return events, nil
}

func evolve(c counter, e counterEvent) counter {
	switch e := e.(type) {
	case added:
		c.N += e.By
	case limited:
		c.Limit = e.To
	case noted:
		c.Note = e.Text
	}
	return c
}

type counters = eventstore.Entity[counter, command, counterEvent]

func newCounters(log eventstore.Log, opts ...eventstore.Option) *counters {
	return eventstore.NewEntity(log, counterEvents, decide, evolve, opts...)
}

// eachLog runs a test on a log in memory, on one server and on three. Open returns
// the same log over another connection each time.
func eachLog(t *testing.T, test func(t *testing.T, open func() eventstore.Log)) {
	t.Helper()
	t.Parallel()
	t.Run("memory", func(t *testing.T) {
		t.Parallel()
		log := eventstore.NewMemoryLog()
		test(t, func() eventstore.Log { return log })
	})
	bustest.Each(t, func(t *testing.T, b *bustest.Broker) {
		t.Helper()
		test(t, func() eventstore.Log { return eventstore.NewJetStreamLog(b.Dial(t), stream.Name) })
	}, bustest.WithStreams(stream))
}

func do(t *testing.T, e *counters, id, commandID string, cmd command) (counter, uint64) {
	t.Helper()
	state, version, err := e.Do(t.Context(), id, commandID, cmd)
	if err != nil {
		t.Errorf("%+v on %s: %v", cmd, id, err)
	}
	return state, version
}

func get(t *testing.T, e *counters, id string) (counter, uint64) {
	t.Helper()
	state, version, err := e.Get(t.Context(), id)
	if err != nil {
		t.Errorf("get %s: %v", id, err)
	}
	return state, version
}

// wantCounter fails unless the counter has this value and version, seen by e and by
// an entity without memory, and its history counts 1..version with unique ids.
func wantCounter(t *testing.T, e *counters, fresh eventstore.Log, id string, n int, version uint64) {
	t.Helper()
	for name, e := range map[string]*counters{"warm": e, "cold": newCounters(fresh)} {
		if c, v := get(t, e, id); c.N != n || v != version {
			t.Errorf("%s: counter %s is %d at version %d, want %d at %d", name, id, c.N, v, n, version)
		}
	}
	history, err := e.History(t.Context(), id)
	if err != nil || uint64(len(history)) != version {
		t.Fatalf("history of %s: %d events, %v; want %d", id, len(history), err, version)
	}
	ids, folded := map[string]bool{}, counter{}
	for i, r := range history {
		if r.Version != uint64(i)+1 || ids[r.ID] || r.ID == "" {
			t.Fatalf("event %d has version %d and id %q", i+1, r.Version, r.ID)
		}
		ids[r.ID] = true
		folded = evolve(folded, r.Data)
	}
	if folded.N != n {
		t.Errorf("the history of %s adds up to %d, want %d", id, folded.N, n)
	}
}

// script is a log whose next appends and reads are tampered with.
type script struct {
	eventstore.Log
	mu      sync.Mutex
	appends []func(context.Context, eventstore.Message, uint64) (uint64, error)
	calls   int
	reads   int // of Last
	onLast  func()
	peeks   atomic.Int64
}

func (s *script) then(f func(context.Context, eventstore.Message, uint64) (uint64, error)) *script {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.appends = append(s.appends, f)
	return s
}

func (s *script) Append(ctx context.Context, m eventstore.Message, expect uint64) (uint64, error) {
	s.mu.Lock()
	s.calls++
	f := s.Log.Append
	if len(s.appends) > 0 {
		f, s.appends = s.appends[0], s.appends[1:]
	}
	s.mu.Unlock()
	return f(ctx, m, expect)
}

func (s *script) Last(ctx context.Context, subject string) (eventstore.Message, error) {
	s.mu.Lock()
	s.reads++
	f := s.onLast
	s.mu.Unlock()
	if f != nil {
		f()
	}
	return s.Log.Last(ctx, subject)
}

func (s *script) Peek(ctx context.Context, subject string) (eventstore.Message, error) {
	s.peeks.Add(1)
	return s.Log.Peek(ctx, subject)
}

func (s *script) counts() (appends, reads int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls, s.reads
}

// lostAck stores the message and reports err.
func (s *script) lostAck(err error) func(context.Context, eventstore.Message, uint64) (uint64, error) {
	return func(ctx context.Context, m eventstore.Message, expect uint64) (uint64, error) {
		if _, aerr := s.Log.Append(ctx, m, expect); aerr != nil {
			return 0, errors.Join(err, aerr)
		}
		return 0, err
	}
}

// lost stores nothing and reports err.
func lost(err error) func(context.Context, eventstore.Message, uint64) (uint64, error) {
	return func(context.Context, eventstore.Message, uint64) (uint64, error) { return 0, err }
}
