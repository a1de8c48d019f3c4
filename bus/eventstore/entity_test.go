package eventstore_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/eventstore"
	"github.com/ordermesh/ordermesh/bus/telemetry"
)

func TestCommandsChangeRefuseRepeat(t *testing.T) {
	eachLog(t, func(t *testing.T, open func() eventstore.Log) {
		t.Helper()
		e := newCounters(open())
		if c, v := get(t, e, "a"); v != 0 || c != (counter{}) {
			t.Errorf("before the first event: %+v at %d", c, v)
		}
		if c, v := do(t, e, "a", "one", command{add: 2, times: 3}); c.N != 6 || v != 3 {
			t.Errorf("after one: %+v at %d", c, v)
		}
		if c, v := do(t, e, "a", "two", command{limit: 7}); c.Limit != 7 || v != 4 {
			t.Errorf("after two: %+v at %d", c, v)
		}
		if c, v := do(t, e, "a", "nothing", command{}); c.N != 6 || v != 4 {
			t.Errorf("nothing to do: %+v at %d", c, v)
		}
		if c, v, err := e.Do(t.Context(), "a", "three", command{add: 2}); !errors.Is(err, errLimit) || c.N != 6 || v != 4 {
			t.Errorf("refused: %+v at %d, %v", c, v, err)
		}
		for name, e := range map[string]*counters{"warm": e, "cold": newCounters(open())} {
			if c, v := do(t, e, "a", "one", command{add: 2, times: 3}); c != (counter{N: 6, Limit: 7}) || v != 3 {
				t.Errorf("%s, repeated: %+v at %d, want the state now and version 3", name, c, v)
			}
		}
		do(t, e, "a", "", command{add: 0, note: "x"})
		do(t, e, "a", "", command{add: 0, note: "x"})
		if _, v := get(t, e, "a"); v != 6 {
			t.Errorf("commands without id are not recognised, version %d, want 6", v)
		}
		wantCounter(t, e, open(), "a", 6, 6)
		wantCounter(t, e, open(), "b", 0, 0)
	})
}

func TestBadRequestsNeverReachTheLog(t *testing.T) {
	t.Parallel()
	s := &script{Log: eventstore.NewMemoryLog()}
	e := newCounters(s)
	for _, id := range []string{"", "*", ">", "a.b", "a b", strings.Repeat("x", 65), "a\x00", "ü"} {
		if _, _, err := e.Do(t.Context(), id, "c", command{add: 1}); !errors.Is(err, contract.ErrInvalid) {
			t.Errorf("id %q: %v", id, err)
		}
		if _, _, err := e.Get(t.Context(), id); !errors.Is(err, contract.ErrInvalid) {
			t.Errorf("get of id %q: %v", id, err)
		}
	}
	for _, id := range []string{"a\nb", "\xff", strings.Repeat("x", 257), "\u202e"} {
		if _, _, err := e.Do(t.Context(), "a", id, command{add: 1}); !errors.Is(err, eventstore.ErrCommandID) {
			t.Errorf("command id %q: %v", id, err)
		}
	}
	if _, _, err := e.Do(t.Context(), "a", "c", command{note: strings.Repeat("x", 700<<10)}); !errors.Is(err, eventstore.ErrTooLarge) {
		t.Errorf("a huge event: %v", err)
	}
	if _, _, err := e.Do(t.Context(), "a", "c", command{note: "\xff"}); err == nil {
		t.Error("an event that is no UTF-8 was stored")
	}
	if _, _, err := e.Do(t.Context(), "a", "c", command{panic: true}); !errors.Is(err, contract.ErrInternal) {
		t.Errorf("a panic: %v", err)
	}
	if appends, _ := s.counts(); appends != 0 {
		t.Errorf("%d appends", appends)
	}
	do(t, e, "a", `quote " \ @ 7`, command{add: 1})
	do(t, e, "a", `quote " \ @ 7`, command{add: 1})
	do(t, newCounters(s), "a", `quote " \ @ 7`, command{add: 1})
	wantCounter(t, e, s, "a", 1, 1)
}

// blocked is a log whose first append waits until it is let go.
func blocked(log eventstore.Log) (s *script, started chan struct{}, letGo chan struct{}) {
	s = &script{Log: log}
	started, letGo = make(chan struct{}), make(chan struct{})
	s.then(func(ctx context.Context, m eventstore.Message, expect uint64) (uint64, error) {
		close(started)
		<-letGo
		return log.Append(ctx, m, expect)
	})
	return s, started, letGo
}

func TestCommandsThatWaitShareOneAppend(t *testing.T) {
	eachLog(t, func(t *testing.T, open func() eventstore.Log) {
		t.Helper()
		s, started, letGo := blocked(open())
		e := newCounters(s)
		var wait sync.WaitGroup
		wait.Go(func() { do(t, e, "a", "first", command{limit: 21}) })
		<-started
		type answer struct {
			c   counter
			v   uint64
			err error
		}
		answers := make([]answer, 30)
		for i := range answers {
			wait.Go(func() {
				a := &answers[i]
				a.c, a.v, a.err = e.Do(t.Context(), "a", "c"+strconv.Itoa(i/2), command{add: 2})
			})
		}
		waitQueued(t, e, "a", len(answers))
		close(letGo)
		wait.Wait()
		if appends, _ := s.counts(); appends != 2 {
			t.Errorf("%d appends, want 2", appends)
		}
		refused, done := 0, map[uint64]int{}
		for _, a := range answers {
			if errors.Is(a.err, errLimit) {
				refused++
				if a.c.N != 20 {
					t.Errorf("refused at %+v", a.c)
				}
				continue
			}
			done[a.v]++
		}
		// 15 ids, each twice; the limit lets 10 of them add 2, each with its own version
		for v := uint64(2); v <= 11; v++ {
			if done[v] != 2 {
				t.Errorf("version %d was answered %d times, want twice", v, done[v])
			}
		}
		if refused != 10 {
			t.Errorf("%d refusals, want 10", refused)
		}
		wantCounter(t, e, open(), "a", 20, 11)
	})
}

// waitQueued waits until n requests wait for the entity.
func waitQueued(t *testing.T, e *counters, id string, n int) {
	t.Helper()
	bustest.Eventually(t, 10*time.Second, func() bool { return eventstore.Queued(e, id) == n }, n, " requests to wait")
}

func TestAGroupThatFailsIsDecidedAgain(t *testing.T) {
	t.Parallel()
	log := eventstore.NewMemoryLog()
	s, started, letGo := blocked(log)
	e := newCounters(s)
	var wait sync.WaitGroup
	wait.Go(func() { do(t, e, "a", "first", command{add: 1}) })
	<-started
	results := make(chan error, 6)
	for i := range 6 {
		wait.Go(func() {
			_, _, err := e.Do(t.Context(), "a", "c"+strconv.Itoa(i), command{add: 1})
			results <- err
		})
	}
	waitQueued(t, e, "a", 6)
	// While the group is on its way another process sets a limit and does c0.
	other := newCounters(log)
	s.then(func(ctx context.Context, m eventstore.Message, expect uint64) (uint64, error) {
		do(t, other, "a", "limit", command{limit: 4})
		do(t, other, "a", "c0", command{add: 1})
		return log.Append(ctx, m, expect)
	})
	close(letGo)
	wait.Wait()
	close(results)
	refused := 0
	for err := range results {
		if errors.Is(err, errLimit) {
			refused++
		} else if err != nil {
			t.Error(err)
		}
	}
	if refused != 3 { // first, c0 and two more fit below the limit of 4
		t.Errorf("%d refusals, want 3", refused)
	}
	wantCounter(t, e, log, "a", 4, 5)
}

func TestLostAcknowledgementsAreFound(t *testing.T) {
	eachLog(t, func(t *testing.T, open func() eventstore.Log) {
		t.Helper()
		unknown := fmt.Errorf("%w: as told", bus.ErrUnknown)
		conflict := fmt.Errorf("%w: as told", bus.ErrConflict)
		log := open()
		other := newCounters(open())
		for name, prepare := range map[string]func(s *script){
			"stored, answer lost":              func(s *script) { s.then(s.lostAck(unknown)) },
			"stored, answered as conflict":     func(s *script) { s.then(s.lostAck(conflict)) },
			"not stored, answer lost":          func(s *script) { s.then(lost(unknown)) },
			"not stored, no reason to be seen": func(s *script) { s.then(lost(conflict)).then(lost(conflict)) },
			"no stream for a moment":           func(s *script) { s.then(lost(bus.ErrNoStream)).then(lost(bus.ErrNoStream)) },
			"lost, then stored and lost":       func(s *script) { s.then(lost(unknown)).then(s.lostAck(unknown)) },
			"another stands on it": func(s *script) {
				s.then(func(ctx context.Context, m eventstore.Message, expect uint64) (uint64, error) {
					_, err := s.lostAck(unknown)(ctx, m, expect)
					for range 40 {
						_, _, _ = other.Do(ctx, strings.TrimPrefix(m.Subject, "evt.counter."), "", command{note: "on top"})
					}
					return 0, err
				})
			},
		} {
			for _, commandID := range []string{"c", ""} {
				s := &script{Log: log}
				prepare(s)
				e := newCounters(s)
				id := strings.Map(func(r rune) rune {
					if r == ' ' || r == ',' {
						return '-'
					}
					return r
				}, name+commandID)
				c, v, err := e.Do(t.Context(), id, commandID, command{add: 1, times: 2})
				if err != nil || c.N != 2 || v != 2 {
					t.Errorf("%s: %+v at %d, %v", name, c, v, err)
				}
				if got, _ := get(t, e, id); got.N != 2 {
					t.Errorf("%s: done more than once: %+v", name, got)
				}
				if _, v, err = e.Do(t.Context(), id, commandID, command{}); err != nil || commandID != "" && v != 2 {
					t.Errorf("%s, again: version %d, %v", name, v, err)
				}
			}
		}
	})
}

func TestUnclearOutcomesAreNotClaimed(t *testing.T) {
	t.Parallel()
	log := eventstore.NewMemoryLog()
	s := &script{Log: log}
	s.then(func(ctx context.Context, m eventstore.Message, expect uint64) (uint64, error) {
		<-ctx.Done()
		_, _ = log.Append(context.WithoutCancel(ctx), m, expect)
		return 0, fmt.Errorf("%w: %w", bus.ErrUnknown, ctx.Err())
	})
	e := newCounters(s)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, _, err := e.Do(ctx, "a", "c", command{add: 1}); !errors.Is(err, contract.ErrDeadline) {
		t.Errorf("out of time: %v", err)
	}
	if c, v := do(t, e, "a", "c", command{add: 1}); c.N != 1 || v != 1 {
		t.Errorf("the caller's second try: %+v at %d", c, v)
	}
	s.then(lost(errors.New("the stream is full")))
	if _, _, err := e.Do(t.Context(), "a", "d", command{add: 1}); !errors.Is(err, contract.ErrUnavailable) {
		t.Errorf("refused by the server: %v", err)
	}
	wantCounter(t, e, log, "a", 1, 1)
}

func TestAQueuedCommandIsNotDoneAfterItsTime(t *testing.T) {
	t.Parallel()
	s, started, letGo := blocked(eventstore.NewMemoryLog())
	e := newCounters(s)
	var wait sync.WaitGroup
	wait.Go(func() { do(t, e, "a", "first", command{add: 1}) })
	<-started
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, _, err := e.Do(ctx, "a", "late", command{add: 10}); !errors.Is(err, contract.ErrDeadline) {
		t.Errorf("late: %v", err)
	}
	gone, cancel := context.WithCancel(t.Context())
	wait.Go(func() {
		if _, _, err := e.Do(gone, "a", "gone", command{add: 10}); !errors.Is(err, contract.ErrDeadline) {
			t.Errorf("gone: %v", err)
		}
	})
	waitQueued(t, e, "a", 2)
	cancel()
	wait.Go(func() { do(t, e, "a", "patient", command{add: 1}) })
	waitQueued(t, e, "a", 3)
	close(letGo)
	wait.Wait()
	wantCounter(t, e, s, "a", 2, 2)
}

func TestAFullQueueRefuses(t *testing.T) {
	t.Parallel()
	s, started, letGo := blocked(eventstore.NewMemoryLog())
	e := newCounters(s, eventstore.WithQueue(3))
	var wait sync.WaitGroup
	wait.Go(func() { do(t, e, "a", "", command{add: 1}) })
	<-started
	for range 3 {
		wait.Go(func() { do(t, e, "a", "", command{add: 1}) })
	}
	waitQueued(t, e, "a", 3)
	_, _, err := e.Do(t.Context(), "a", "", command{add: 1})
	if !errors.Is(err, contract.ErrExhausted) || contract.AsError(err).RetryAfter == 0 {
		t.Errorf("the fourth that waits: %v", err)
	}
	do(t, e, "b", "", command{add: 1}) // neighbours are not affected
	close(letGo)
	wait.Wait()
	wantCounter(t, e, s, "a", 4, 4)
}

func TestGroupsStayBelowTheMessageSize(t *testing.T) {
	eachLog(t, func(t *testing.T, open func() eventstore.Log) {
		t.Helper()
		s, started, letGo := blocked(open())
		e := newCounters(s)
		var wait sync.WaitGroup
		wait.Go(func() { do(t, e, "a", "", command{add: 1}) })
		<-started
		for range 30 {
			wait.Go(func() { do(t, e, "a", "", command{note: strings.Repeat("x", 100<<10)}) })
		}
		waitQueued(t, e, "a", 30)
		close(letGo)
		wait.Wait()
		wantCounter(t, e, open(), "a", 1, 31)
	})
}

func TestActorsOfAGroupAreKeptApart(t *testing.T) {
	t.Parallel()
	s, started, letGo := blocked(eventstore.NewMemoryLog())
	e := newCounters(s)
	actors := []contract.Actor{{}, {Who: "gateway", For: "c1", Scopes: []string{"a", "b"}, Request: "r1"}, {Who: "orders"}}
	var wait sync.WaitGroup
	run := func(i int) {
		ctx := t.Context()
		if i > 0 {
			ctx = telemetry.WithActor(ctx, actors[i])
		}
		wait.Go(func() {
			if _, _, err := e.Do(ctx, "a", "", command{add: i + 1, times: 2}); err != nil {
				t.Error(err)
			}
		})
	}
	run(1)
	<-started
	for i := range actors {
		run(i)
		waitQueued(t, e, "a", i+1)
	}
	close(letGo)
	wait.Wait()
	history, err := e.History(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range history {
		by := r.Data.(added).By
		if diff := cmp.Diff(actors[by-1], r.Actor, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("actor of event %d (-want +got):\n%s", i+1, diff)
		}
	}
	if len(history) != 8 || history[2].Sequence != history[7].Sequence {
		t.Errorf("%d events, want 8 in two messages", len(history))
	}
}

func TestCommandsAreTraced(t *testing.T) {
	t.Parallel()
	spans := tracetest.NewSpanRecorder()
	tel, err := telemetry.New(telemetry.Config{Writer: io.Discard, Processor: spans})
	if err != nil {
		t.Fatal(err)
	}
	log := eventstore.NewMemoryLog()
	e := newCounters(log, eventstore.WithTelemetry(tel))
	do(t, e, "a", "c", command{limit: 1})
	if _, _, err := e.Do(t.Context(), "a", "d", command{add: 2}); !errors.Is(err, errLimit) {
		t.Fatal(err)
	}
	ended := spans.Ended()
	if len(ended) != 2 {
		t.Fatalf("%d spans, want 2", len(ended))
	}
	m := messages(t, log, subjectA)[0]
	if id := ended[0].SpanContext().TraceID().String(); !strings.Contains(m.Header.Get(contract.HeaderTrace), id) {
		t.Errorf("traceparent %q does not carry trace %s", m.Header.Get(contract.HeaderTrace), id)
	}
	if n := metric(t, tel, "mesh_entity_requests_total"); n != 2 {
		t.Errorf("%v requests were counted, want 2", n)
	}
}
