package eventstore_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/eventstore"
)

// A stored message comes back with its own headers in front of those that the server
// adds: a foreign one may look like any answer of the server.
func TestForeignHeadersDoNotPassForTheServers(t *testing.T) {
	eachLog(t, func(t *testing.T, open func() eventstore.Log) {
		t.Helper()
		log := open()
		n := 0
		for _, h := range []nats.Header{
			{"Status": {"404"}}, {"Status": {"408"}}, {"Status": {"500"}}, {"Status": {"503"}},
			{"Status": {"204"}, "Description": {"EOB"}},
			{"Nats-Sequence": {"1"}}, {"Nats-Sequence": {"999999999"}}, {"Nats-Sequence": {"x"}},
			{"Nats-Num-Pending": {"0"}}, {"Nats-Num-Pending": {""}}, {"Nats-Subject": {"evt.counter.b"}}, {"Nats-Time-Stamp": {"x"}},
		} {
			for _, body := range []string{"", "hello"} {
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				what := fmt.Sprint(h, " ", len(body))
				foreign(t, log, eventstore.Message{Header: h, Data: []byte(body)})
				if c, _, err := newCounters(open()).Get(ctx, "a"); err != nil || c.N != n {
					t.Errorf("%s, the last message: %+v, want %d, %v", what, c, n, err)
				}
				if _, _, err := newCounters(open()).Do(ctx, "a", "", command{add: 1}); err != nil {
					t.Fatalf("%s, a command: %v", what, err)
				}
				n++
				cancel()
			}
		}
		history, err := newCounters(open()).History(t.Context(), "a")
		if err != nil || len(history) != n {
			t.Errorf("history: %d events, want %d, %v", len(history), n, err)
		}
	})
}

// What was acknowledged can be read, whatever the events hold.
func TestDeepEventsAreStoredReadableOrRefused(t *testing.T) {
	t.Parallel()
	type tree struct {
		Deep contract.Raw `json:"deep,omitzero"`
	}
	events := contract.NewEvents[any]("test", "TEST", "tree", contract.Type[any, tree]("tree.grown.v1"))
	log := eventstore.NewMemoryLog()
	open := func() *eventstore.Entity[tree, tree, any] {
		return eventstore.NewEntity(log, events, func(_, c tree) ([]any, error) { return []any{c}, nil },
			func(_ tree, e any) tree { t, _ := e.(tree); return t })
	}
	for depth := contract.MaxDepth - 5; depth < contract.MaxDepth; depth++ { // a request may be as deep
		want := tree{contract.Raw(strings.Repeat("[", depth) + strings.Repeat("]", depth))}
		id := fmt.Sprint("a", depth)
		_, _, err := open().Do(t.Context(), id, "", want)
		if contract.IsRefusal(err) {
			continue
		}
		got, version, rerr := open().Get(t.Context(), id)
		if err != nil || rerr != nil || version != 1 || string(got.Deep) != string(want.Deep) {
			t.Errorf("depth %d: stored with %v, read at version %d with %v", depth, err, version, rerr)
		}
	}
}

// A caller that goes away while its append is on its way must not be told that
// nothing was stored.
func TestACancelledCommandIsNotClaimedToBeUndone(t *testing.T) {
	t.Parallel()
	log := eventstore.NewMemoryLog()
	s := &script{Log: log}
	ctx, cancel := context.WithCancel(t.Context())
	s.then(func(ctx context.Context, m eventstore.Message, expect uint64) (uint64, error) {
		_, _ = log.Append(ctx, m, expect)
		cancel()
		return 0, fmt.Errorf("%w: %w", bus.ErrUnknown, ctx.Err())
	})
	e := newCounters(s)
	_, _, err := e.Do(ctx, "a", "c", command{add: 1})
	if !errors.Is(err, contract.ErrDeadline) {
		t.Errorf("it is stored and the caller hears: %v", err)
	}
	wantCounter(t, e, log, "a", 1, 1)
}

// staleReads is a log whose leader has been cut off: for a while it answers what it
// knew before.
type staleReads struct {
	eventstore.Log
	left atomic.Int64
	old  eventstore.Message
}

func (l *staleReads) Last(ctx context.Context, subject string) (eventstore.Message, error) {
	if l.left.Add(-1) >= 0 {
		return l.old, nil
	}
	return l.Log.Last(ctx, subject)
}

// A leader that does not know what was acknowledged to this process is a former one.
func TestALeaderThatIsBehindIsNotBelieved(t *testing.T) {
	t.Parallel()
	log := eventstore.NewMemoryLog()
	stale := &staleReads{Log: log}
	e := newCounters(stale)
	do(t, e, "a", "", command{limit: 2})
	stale.old, _ = log.Last(t.Context(), subjectA)
	do(t, e, "a", "", command{add: 2})
	stale.left.Store(3)
	if c, v := get(t, e, "a"); c.N != 2 || v != 2 {
		t.Errorf("read %+v at %d, older than what was acknowledged", c, v)
	}
	stale.left.Store(3)
	if _, _, err := e.Do(t.Context(), "a", "", command{add: 1}); !errors.Is(err, errLimit) {
		t.Errorf("decided on an old state: %v", err)
	}
}

// A log that stays behind was cut, by a purge or a restored backup: its word counts.
func TestALogThatWasCutIsBelievedInTheEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		stale := &staleReads{Log: eventstore.NewMemoryLog()}
		e := newCounters(stale)
		do(t, e, "a", "", command{add: 1})
		stale.left.Store(1 << 40)
		bustest.Eventually(t, time.Minute, func() bool {
			_, version, err := e.Get(t.Context(), "a")
			return err == nil && version == 0
		}, "the entity to be gone")
	})
}
