package eventstore_test

import (
	"bytes"
	"context"
	"iter"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/eventstore"
	"github.com/ordermesh/ordermesh/bus/telemetry"
)

const subjectA = "evt.counter.a"

func messages(t *testing.T, log eventstore.Log, subject string) []eventstore.Message {
	t.Helper()
	var all []eventstore.Message
	for m, err := range log.Range(t.Context(), subject, 0) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, m)
	}
	return all
}

// What is written is exactly what contract.EncodeCommit writes, with headers that
// contract.ParseCommitHeader reads.
func TestMessagesAreInTheCommitFormat(t *testing.T) {
	t.Parallel()
	log := eventstore.NewMemoryLog()
	e := newCounters(log, eventstore.WithSchema(7))
	for i := range 100 {
		do(t, e, "a", []string{"", "plain", `q"\`, "ünïcode ∅"}[i%4]+strconv.Itoa(i), command{add: 1, times: 1 + i%3})
		do(t, e, "a", "", command{note: "<&>\u2028\"" + strings.Repeat("x", i%3*300)})
	}
	var previous, version, snap uint64
	since := 0
	for i, m := range messages(t, log, subjectA) {
		c, err := contract.DecodeCommit(m.Data)
		if err != nil {
			t.Fatal(err)
		}
		again, err := contract.EncodeCommit(c)
		if err != nil || !bytes.Equal(again, m.Data) {
			t.Fatalf("message %d is\n%s\nEncodeCommit writes\n%s\n%v", i, m.Data, again, err)
		}
		h, err := contract.ParseCommitHeader(m.Header)
		want := contract.CommitHeader{First: version + 1, Last: version + uint64(len(c.Events)), Prev: previous, Snap: snap}
		if c.State != nil {
			want.Snap, snap, since = contract.SnapSelf, m.Sequence, 0
		} else if since++; since > 31 {
			t.Fatalf("message %d is number %d after the last state", i, since)
		}
		if diff := cmp.Diff(want, h); diff != "" || err != nil {
			t.Fatalf("headers of message %d (-want +got), %v:\n%s", i, err, diff)
		}
		if c.State != nil && c.State.Schema != 7 {
			t.Errorf("schema %d", c.State.Schema)
		}
		previous, version = m.Sequence, want.Last
	}
	first := messages(t, log, subjectA)[0]
	if c, _ := contract.DecodeCommit(first.Data); c.State == nil {
		t.Error("a small state does not ride along")
	}
}

// counting counts what is read of a log.
type counting struct {
	eventstore.Log
	lasts, ranges, messages int
}

func (c *counting) Last(ctx context.Context, subject string) (eventstore.Message, error) {
	c.lasts++
	return c.Log.Last(ctx, subject)
}

func (c *counting) Peek(ctx context.Context, subject string) (eventstore.Message, error) {
	c.lasts++
	return c.Log.Peek(ctx, subject)
}

func (c *counting) Range(ctx context.Context, subject string, after uint64) iter.Seq2[eventstore.Message, error] {
	c.ranges++
	return func(yield func(eventstore.Message, error) bool) {
		for m, err := range c.Log.Range(ctx, subject, after) {
			c.messages++
			if !yield(m, err) {
				return
			}
		}
	}
}

func TestLoadingALongHistoryReadsLittle(t *testing.T) {
	eachLog(t, func(t *testing.T, open func() eventstore.Log) {
		t.Helper()
		log := open()
		e := newCounters(log)
		const n = 300
		asked := 1
		if strings.HasSuffix(t.Name(), "/R3") {
			asked = 5 // a replica that is behind is asked again
		}
		for i := range n {
			do(t, e, "a", "command-"+strconv.Itoa(i), command{note: strings.Repeat("x", 600)})
			do(t, e, "b"+strconv.Itoa(i), "", command{add: 1})
			if i%29 != 0 {
				continue
			}
			c := &counting{Log: log}
			cold := newCounters(c)
			if _, v := get(t, cold, "a"); v != uint64(i)+1 {
				t.Fatalf("version %d after %d commands", v, i+1)
			}
			if c.lasts != 1 || c.ranges > asked || c.messages > 33*asked {
				t.Errorf("after %d commands: %d single reads, %d ranges, %d messages", i+1, c.lasts, c.ranges, c.messages)
			}
			for back := range min(128, i+1) {
				if _, v := do(t, cold, "a", "command-"+strconv.Itoa(i-back), command{add: 1}); v != uint64(i-back)+1 {
					t.Fatalf("the command before the last %d commands is not recognised: version %d", back, v)
				}
			}
		}
		c := &counting{Log: log}
		get(t, newCounters(c), "b7")
		if c.lasts != 1 || c.ranges != 0 {
			t.Errorf("a small entity took %d single reads and %d ranges", c.lasts, c.ranges)
		}
	})
}

func TestEntitiesSurviveARestart(t *testing.T) {
	t.Parallel()
	bustest.Each(t, func(t *testing.T, b *bustest.Broker) {
		t.Helper()
		e := newCounters(eventstore.NewJetStreamLog(b.Dial(t), stream.Name))
		for i := range 50 {
			do(t, e, strconv.Itoa(i%5), "c"+strconv.Itoa(i), command{add: 1})
		}
		b.Stop(t, stream.Name)
		b.Start(t)
		for i := range 50 { // the same commands again, then new ones, over the old connection
			do(t, e, strconv.Itoa(i%5), "c"+strconv.Itoa(i), command{add: 1})
		}
		for i := range 50 {
			do(t, e, strconv.Itoa(i%5), "d"+strconv.Itoa(i), command{add: 1})
		}
		for id := range 5 {
			wantCounter(t, e, eventstore.NewJetStreamLog(b.Dial(t), stream.Name), strconv.Itoa(id), 20, 20)
		}
	}, bustest.WithStreams(stream))
}

func TestHistoryTellsWhatHappened(t *testing.T) {
	eachLog(t, func(t *testing.T, open func() eventstore.Log) {
		t.Helper()
		e := newCounters(open())
		actor := contract.Actor{Who: "gateway", For: "c1", Scopes: []string{"orders"}, Request: "r1"}
		if _, _, err := e.Do(telemetry.WithActor(t.Context(), actor), "a", "one", command{add: 2, times: 2}); err != nil {
			t.Fatal(err)
		}
		do(t, e, "a", "two", command{note: "x"})
		got, err := e.History(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		want := []eventstore.Recorded[counterEvent]{
			{Type: "counter.added.v1", Command: "one", Version: 1, Data: added{2}, Actor: actor},
			{Type: "counter.added.v1", Command: "one", Version: 2, Data: added{2}, Actor: actor},
			{Type: "counter.noted.v1", Command: "two", Version: 3, Data: noted{"x"}},
		}
		ignore := cmpopts.IgnoreFields(eventstore.Recorded[counterEvent]{}, "ID", "At", "Sequence")
		if diff := cmp.Diff(want, got, ignore, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("history (-want +got):\n%s", diff)
		}
		for _, r := range got {
			if !contract.ValidID(r.ID) || time.Since(r.At) > time.Minute || r.At.Location() != time.UTC || r.Sequence == 0 {
				t.Errorf("recorded %+v", r)
			}
		}
		later, err := e.HistoryAfter(t.Context(), "a", got[1].Sequence)
		if diff := cmp.Diff(got[2:], later); err != nil || diff != "" {
			t.Errorf("history after message %d: %v %s", got[1].Sequence, err, diff)
		}
		if none, err := e.HistoryAfter(t.Context(), "a", got[2].Sequence); len(none) > 0 || err != nil {
			t.Errorf("history after the last message: %v %v", none, err)
		}
		again := newCounters(eventstore.NewMemoryLog())
		do(t, again, "a", "one", command{add: 2, times: 2})
		if h, _ := again.History(t.Context(), "a"); h[1].ID != got[1].ID {
			t.Error("the same command gave another event id")
		}
	})
}

func TestStatesThatJSONWouldLosePanicAtStart(t *testing.T) {
	t.Parallel()
	type inner struct{ hidden int }
	panics(t, "a number", func() { newOf[int]() })
	panics(t, "an unexported field", func() { newOf[struct{ n int }]() })
	_ = inner{hidden: 1}
	panics(t, "an unexported field below", func() { newOf[struct{ In map[string][]*inner }]() })
	panics(t, "an interface", func() { newOf[struct{ E counterEvent }]() })
	newOf[map[string]int]()
	newOf[struct {
		At time.Time
		M  map[string][]counter
	}]()
	panics(t, "a cache of none", func() { eventstore.WithCache(0)(nil) })
}

func newOf[S any]() {
	eventstore.NewEntity(eventstore.NewMemoryLog(), counterEvents,
		func(S, command) ([]counterEvent, error) { return nil, nil }, func(s S, _ counterEvent) S { return s })
}

func panics(t *testing.T, what string, f func()) {
	t.Helper()
	defer func() {
		if recover() == nil {
			t.Errorf("%s is accepted", what)
		}
	}()
	f()
}
