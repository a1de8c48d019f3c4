package event_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/nats-io/nats.go"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/event"
)

// letters waits for n dead letters.
func letters(t testing.TB, conn *bus.Conn, n int) []event.DeadLetter {
	t.Helper()
	var list []event.DeadLetter
	bustest.Eventually(t, patience, func() bool {
		var err error
		list, err = event.NewDeadLetters(conn).List(t.Context(), event.DeadFilter{Stream: "COUNTERS", Consumer: "test"})
		check(t, err)
		return len(list) >= n
	}, fmt.Sprintf("%d dead letters", n))
	if len(list) != n {
		t.Fatalf("%d dead letters, not %d", len(list), n)
	}
	return list
}

func TestPoisonBecomesADeadLetterAndNeighboursGoOn(t *testing.T) {
	t.Parallel()
	conn := bustest.New(t, bustest.WithServices(counting))
	w := newWriter(conn)
	w.add(t, "a", 1)
	poisoned := w.add(t, "poison", 1, 666, 3)
	w.add(t, "b", 1)
	var got seen
	start(t, conn, func(ctx context.Context, e event.Event[counterEvent]) event.Outcome {
		if e.Data.(added).N == 666 {
			return event.Reject(contract.NewError(contract.Unprocessable, "beast", "this\r\nis the beast"))
		}
		return got.done(ctx, e)
	})
	got.distinct(t, 4) // the commit's other two events too
	want := event.DeadLetter{
		ID: 1, Stream: "COUNTERS", Consumer: "test", Service: "test", Subject: "evt.counter.poison", Sequence: poisoned,
		Index: 1, EventID: "e2", Type: "counter.added.v1",
		Cause: event.CauseRejected, Reason: "unprocessable: this  is the beast (beast)", Attempts: 1,
	}
	letter := letters(t, conn, 1)[0]
	if diff := cmp.Diff(want, letter, cmpopts.IgnoreFields(event.DeadLetter{}, "At", "Time", "Header", "Body")); diff != "" {
		t.Error(diff)
	}
	original, err := conn.JetStream().Stream(t.Context(), "COUNTERS")
	check(t, err)
	m, err := original.GetMsg(t.Context(), poisoned)
	check(t, err)
	if !letter.Time.Equal(m.Time) || string(letter.Body) != string(m.Data) || letter.Header.Get(contract.HeaderVersion) != "1-3" {
		t.Errorf("time %v, header %v, body %s", letter.Time, letter.Header, letter.Body)
	}
	settled(t, conn)
}

func TestWhatCannotBeReadIsParkedOrSkipped(t *testing.T) {
	t.Parallel()
	conn := bustest.New(t, bustest.WithServices(counting))
	w := newWriter(conn)
	ours := nats.Header{contract.HeaderVersion: {"1-1"}, contract.HeaderPrev: {"0"}, contract.HeaderSnap: {"0"}}
	publish := func(id, body string, h nats.Header) {
		w.publish(t, &nats.Msg{Subject: "evt.counter." + id, Header: h, Data: []byte(body)}, bus.NoExpectation)
	}
	publish("foreign", "hello", nil)                                                                     // skipped
	publish("broken", `{"v":1,"events":[`, ours)                                                         // damaged
	publish("count", `{"v":1,"events":[{"id":"x"},{"id":"y"}]}`, ours)                                   // damaged
	publish("format", `{"v":2,"events":[{"id":"x"}]}`, ours)                                             // newer
	w.commit(t, "type", record("counter.halved.v1", `{}`, 1))                                            // newer
	w.commit(t, "data", record("counter.added.v1", `{"n":"many"}`, 1))                                   // damaged
	w.commit(t, "mixed", record("counter.halved.v1", `{}`, 1), record("counter.added.v1", `{"n":1}`, 2)) // newer, and one good
	w.add(t, "good", 1)
	var got seen
	start(t, conn, got.done, event.WithConcurrency(1))
	got.distinct(t, 2)
	causes := map[string]string{}
	for _, l := range letters(t, conn, 6) {
		causes[l.Subject] = l.Cause
	}
	want := map[string]string{
		"evt.counter.broken": event.CauseDamaged, "evt.counter.count": event.CauseDamaged, "evt.counter.data": event.CauseDamaged,
		"evt.counter.format": event.CauseNewer, "evt.counter.type": event.CauseNewer, "evt.counter.mixed": event.CauseNewer,
	}
	if diff := cmp.Diff(want, causes); diff != "" {
		t.Error(diff)
	}
	settled(t, conn)
}

func TestTypesIgnoresAllOthers(t *testing.T) {
	t.Parallel()
	conn := bustest.New(t, bustest.WithServices(counting))
	w := newWriter(conn)
	w.add(t, "a", 1)
	w.commit(t, "a", record("counter.halved.v1", `{}`, 2), record("counter.cleared.v1", `{}`, 3))
	var got seen
	start(t, conn, got.done, event.Types("counter.cleared.v1"))
	got.wait(t, 1)
	settled(t, conn)
	if e := got.all(); len(e) != 1 || e[0].Version != 3 {
		t.Errorf("got %+v", e)
	}
	letters(t, conn, 0)
}

func TestFailuresEndInADeadLetter(t *testing.T) {
	t.Parallel()
	for _, ordered := range []bool{false, true} {
		t.Run(fmt.Sprint("ordered=", ordered), func(t *testing.T) {
			t.Parallel()
			conn := bustest.New(t, bustest.WithServices(counting))
			newWriter(conn).add(t, "a", 1, 2, 3)
			opts := []event.Option{event.WithAttempts(3), event.WithBackoff(time.Millisecond, 2*time.Millisecond)}
			if ordered {
				opts = append(opts, event.Ordered())
			}
			var got seen
			var runs atomic.Int32
			start(t, conn, func(ctx context.Context, e event.Event[counterEvent]) event.Outcome {
				if e.Data.(added).N != 2 {
					return got.done(ctx, e)
				}
				if runs.Add(1)%2 == 0 {
					return event.Retry(errors.New("no luck"))
				}
				panic("bad luck")
			}, opts...)
			letter := letters(t, conn, 1)[0]
			settled(t, conn)
			if letter.Cause != event.CauseFailures || letter.Failures != 3 || letter.Index != 1 || letter.Reason != "the handler panicked: bad luck" {
				t.Errorf("%+v", letter)
			}
			if runs.Load() != 3 || got.len() != 2 {
				t.Errorf("the bad event ran %d times, the good ones %d", runs.Load(), got.len())
			}
		})
	}
}

func TestLaterIsNoFailure(t *testing.T) {
	t.Parallel()
	conn := bustest.New(t, bustest.WithServices(counting))
	newWriter(conn).add(t, "a", 1)
	var runs atomic.Int32
	start(t, conn, func(context.Context, event.Event[counterEvent]) event.Outcome {
		if runs.Add(1) < 5 {
			return event.Later(time.Millisecond)
		}
		return event.Done
	}, event.WithAttempts(1))
	bustest.Eventually(t, patience, func() bool { return runs.Load() == 5 }, "the fifth try")
	settled(t, conn)
	letters(t, conn, 0)
}

// TestAnEventComesAgainWhenItWasAskedTo: later means later, and a retry waits.
func TestAnEventComesAgainWhenItWasAskedTo(t *testing.T) {
	t.Parallel()
	const pause = 300 * time.Millisecond
	for name, again := range map[string]event.Outcome{
		"later": event.Later(pause),
		"retry": event.Retry(contract.ErrUnavailable.After(pause)),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := bustest.New(t, bustest.WithServices(counting))
			newWriter(conn).add(t, "a", 1)
			calls := make(chan time.Time, 2)
			start(t, conn, func(context.Context, event.Event[counterEvent]) event.Outcome {
				calls <- time.Now()
				if len(calls) == 1 {
					return again
				}
				return event.Done
			})
			bustest.Eventually(t, patience, func() bool { return len(calls) == 2 }, "the second time")
			if first := <-calls; (<-calls).Sub(first) < pause {
				t.Errorf("it came again within %v", pause)
			}
		})
	}
}

func TestADependencyThatIsDownIsProbed(t *testing.T) {
	t.Parallel()
	const events = 300
	conn := bustest.New(t, bustest.WithServices(counting))
	w := newWriter(conn)
	for i := range events {
		w.add(t, fmt.Sprint("c", i), i)
	}
	var got seen
	var down atomic.Bool
	var calls atomic.Int32
	down.Store(true)
	start(t, conn, func(ctx context.Context, e event.Event[counterEvent]) event.Outcome {
		if calls.Add(1); down.Load() {
			return event.Retry(contract.ErrUnavailable)
		}
		return got.done(ctx, e)
	}, event.WithAttempts(2), event.WithConcurrency(4))
	bustest.Eventually(t, patience, func() bool { return calls.Load() >= 8 }, "a few probes")
	if n := calls.Load(); n > 15 {
		t.Errorf("%d calls although the dependency is down", n)
	}
	down.Store(false)
	got.distinct(t, events)
	settled(t, conn)
	letters(t, conn, 0)
}

func TestDeadLettersAreListedReplayedAndDropped(t *testing.T) {
	t.Parallel()
	b := bustest.Server(t, bustest.WithServices(counting))
	conn, admin := b.Dial(t), event.NewDeadLetters(b.Dial(t, bustest.WithService("cli")))
	w := newWriter(conn)
	w.add(t, "a", 1, 2)
	w.add(t, "b", 3)
	w.publish(t, &nats.Msg{Subject: "evt.counter.c", Header: nats.Header{contract.HeaderVersion: {"?"}}}, bus.NoExpectation)
	var got seen
	var good atomic.Bool
	r := start(t, conn, func(ctx context.Context, e event.Event[counterEvent]) event.Outcome {
		if !good.Load() {
			return event.Reject(errors.New("not today"))
		}
		return got.done(ctx, e)
	}, event.WithConcurrency(1))
	all := letters(t, conn, 4)

	if err := admin.Replay(t.Context(), all[0].ID); err == nil || !errors.Is(err, contract.ErrInternal) {
		t.Errorf("a replay that fails again says %v", err)
	}
	good.Store(true)
	check(t, admin.Replay(t.Context(), all[1].ID))
	if e := got.all(); len(e) != 1 || e[0].Data != (added{2}) || e[0].Version != 2 {
		t.Errorf("replayed %+v", e)
	}
	if err := admin.Replay(t.Context(), all[3].ID); err == nil {
		t.Error("a damaged commit was replayed")
	}
	check(t, admin.Drop(t.Context(), all[3].ID))
	check(t, admin.Drop(t.Context(), all[3].ID))
	if _, err := admin.Show(t.Context(), all[3].ID); !errors.Is(err, event.ErrNoDeadLetter) {
		t.Errorf("a dropped letter: %v", err)
	}
	rest := letters(t, conn, 2)
	if rest[0].ID != all[0].ID || rest[1].ID != all[2].ID {
		t.Errorf("%d and %d are left", rest[0].ID, rest[1].ID)
	}
	page, err := admin.List(t.Context(), event.DeadFilter{After: all[0].ID, Limit: 1})
	check(t, err)
	if len(page) != 1 || page[0].ID != all[2].ID {
		t.Errorf("the second page is %+v", page)
	}
	if _, err := admin.List(t.Context(), event.DeadFilter{Stream: "*"}); err == nil {
		t.Error("a wildcard was taken as a name")
	}
	r.stop()
	if err := admin.Replay(t.Context(), all[0].ID); !errors.Is(err, contract.ErrUnavailable) {
		t.Errorf("nobody runs, but %v", err)
	}
	if e, err := admin.Show(t.Context(), all[0].ID); err != nil || e.EventID != "e1" {
		t.Errorf("the letter did not stay: %+v, %v", e, err)
	}
}
