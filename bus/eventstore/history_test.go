package eventstore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/nats-io/nats.go"

	"github.com/ordermesh/ordermesh/bus"
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
			if c.lasts != 1 || c.ranges > 1 || c.messages > 33 {
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

func foreign(t *testing.T, log eventstore.Log, m eventstore.Message) {
	t.Helper()
	m.Subject = subjectA
	if _, err := log.Append(t.Context(), m, bus.NoExpectation); err != nil {
		t.Fatal(err)
	}
}

func TestForeignMessagesAreSkippedAndReported(t *testing.T) {
	eachLog(t, func(t *testing.T, open func() eventstore.Log) {
		t.Helper()
		log := open()
		var lines bytes.Buffer
		tel, err := telemetry.New(telemetry.Config{Writer: &lines, Level: slog.LevelWarn})
		if err != nil {
			t.Fatal(err)
		}
		commitHeader := nats.Header{"Mesh-Version": {"3-3"}, "Mesh-Prev": {"0"}, "Mesh-Snap": {"0"}}
		junk := []eventstore.Message{
			{Data: []byte("hello")}, {}, {Data: []byte(`{"stream":"TEST","seq":1}`)},
			{Header: nats.Header{"Mesh-Version": {"x"}}, Data: []byte(`{"v":1}`)},
			{Header: commitHeader, Data: []byte(`{"v":1,"events":[]}`)},
			{Header: commitHeader, Data: []byte(`[1]`)}, {Header: commitHeader, Data: []byte{0xff, 0}},
		}
		warm := newCounters(log, eventstore.WithTelemetry(tel))
		n := 0
		check := func(what string) {
			t.Helper()
			for name, e := range map[string]*counters{"warm": warm, "cold": newCounters(open(), eventstore.WithTelemetry(tel))} {
				if c, _ := get(t, e, "a"); c.N != n {
					t.Fatalf("%s, %s: %+v, want %d", what, name, c, n)
				}
			}
			if c, _ := do(t, newCounters(open()), "a", "", command{add: 1}); c.N != n+1 {
				t.Fatalf("%s, cold command: %+v", what, c)
			}
			if c, _ := do(t, warm, "a", "", command{add: 1}); c.N != n+2 {
				t.Fatalf("%s, warm command: %+v", what, c)
			}
			n += 2
		}
		for i, m := range junk {
			foreign(t, log, m)
			check(fmt.Sprint("junk ", i))
		}
		for range 40 {
			for _, m := range junk {
				foreign(t, log, m)
			}
		}
		for i := range 50 { // the last commit is far below in the stream
			do(t, warm, "neighbour", "", command{add: i + 1})
		}
		check("much junk")
		for range 3 {
			check("no junk")
		}
		wantCounter(t, warm, open(), "a", n, uint64(n))
		if !strings.Contains(lines.String(), subjectA) || metric(t, tel, "mesh_entity_foreign_messages_total") == 0 {
			t.Errorf("not reported: %s", lines.String())
		}
	})
}

// metric is the value of a counter, all labels together.
func metric(t *testing.T, tel *telemetry.Telemetry, name string) float64 {
	t.Helper()
	families, err := tel.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, family := range families {
		for _, m := range family.GetMetric() {
			if family.GetName() == name {
				sum += m.GetCounter().GetValue()
			}
		}
	}
	return sum
}

func TestNothingButForeignMessages(t *testing.T) {
	eachLog(t, func(t *testing.T, open func() eventstore.Log) {
		t.Helper()
		log := open()
		foreign(t, log, eventstore.Message{Data: []byte("hello")})
		e := newCounters(log)
		if _, v := get(t, e, "a"); v != 0 {
			t.Errorf("version %d", v)
		}
		do(t, e, "a", "", command{add: 1})
		wantCounter(t, e, open(), "a", 1, 1)
	})
}

func commit(t *testing.T, log eventstore.Log, version uint64, c contract.Commit) {
	t.Helper()
	body, err := contract.EncodeCommit(c)
	if err != nil {
		t.Fatal(err)
	}
	commitBody(t, log, version, len(c.Events), body)
}

func commitBody(t *testing.T, log eventstore.Log, version uint64, events int, body []byte) {
	t.Helper()
	h := nats.Header{}
	contract.CommitHeader{First: version, Last: version + uint64(events) - 1}.SetTo(h.Set)
	foreign(t, log, eventstore.Message{Header: h, Data: body})
}

func record(typ, data string) contract.Record {
	return contract.Record{ID: "x", Type: typ, At: time.Now().UTC(), Data: contract.Raw(data)}
}

func TestWhatANewerVersionWroteIsNotDecidedOn(t *testing.T) {
	t.Parallel()
	future := record("counter.multiplied.v1", `{"by":3}`)
	cases := map[string]func(log eventstore.Log){
		"unknown event": func(log eventstore.Log) {
			commit(t, log, 2, contract.Commit{Events: []contract.Record{future}})
		},
		"unknown event beside a state we could read": func(log eventstore.Log) {
			commit(t, log, 2, contract.Commit{
				Events: []contract.Record{future},
				State:  &contract.Snapshot{Schema: 1, Data: contract.Raw(`{"n":3}`)},
			})
		},
		"unknown event below": func(log eventstore.Log) {
			commit(t, log, 2, contract.Commit{Events: []contract.Record{future}})
			commit(t, log, 3, contract.Commit{Events: []contract.Record{record("counter.added.v1", `{"By":1}`)}})
		},
		"unknown commit format": func(log eventstore.Log) {
			commitBody(t, log, 2, 1, []byte(`{"v":2,"events":[{"id":"x","type":"counter.added.v1","command":"","at":"2026-01-01T00:00:00Z","data":{}}]}`))
		},
		"unknown commit format below a foreign message": func(log eventstore.Log) {
			commitBody(t, log, 2, 1, []byte(`{"v":2,"changes":1}`))
			foreign(t, log, eventstore.Message{Data: []byte("hello")})
		},
	}
	for name, write := range cases {
		log := eventstore.NewMemoryLog()
		warm := newCounters(log)
		do(t, warm, "a", "", command{add: 1})
		write(log)
		before := len(messages(t, log, subjectA))
		for kind, e := range map[string]*counters{"warm": warm, "cold": newCounters(log)} {
			for range 2 {
				_, _, doErr := e.Do(t.Context(), "a", "", command{add: 1})
				_, _, getErr := e.Get(t.Context(), "a")
				_, historyErr := e.History(t.Context(), "a")
				for _, err := range []error{doErr, getErr, historyErr} {
					if !errors.Is(err, eventstore.ErrNewerVersion) || contract.AsError(err).Code != contract.Unavailable {
						t.Errorf("%s, %s: %v", name, kind, err)
					}
				}
			}
			do(t, e, "neighbour", "", command{add: 1})
		}
		if after := len(messages(t, log, subjectA)); after != before {
			t.Errorf("%s: %d messages were appended", name, after-before)
		}
	}
}

func TestDamagedHistoriesStopTheEntityAlone(t *testing.T) {
	t.Parallel()
	for name, write := range map[string]func(log eventstore.Log){
		"gap": func(log eventstore.Log) {
			commit(t, log, 7, contract.Commit{Events: []contract.Record{record("counter.added.v1", `{"By":1}`)}})
		},
		"fork": func(log eventstore.Log) {
			commit(t, log, 1, contract.Commit{Events: []contract.Record{record("counter.added.v1", `{"By":1}`)}})
		},
		"data": func(log eventstore.Log) {
			commit(t, log, 2, contract.Commit{Events: []contract.Record{record("counter.added.v1", `{"By":"x"}`)}})
		},
	} {
		log := eventstore.NewMemoryLog()
		warm := newCounters(log)
		do(t, warm, "a", "", command{add: 1})
		write(log)
		for kind, e := range map[string]*counters{"warm": warm, "cold": newCounters(log)} {
			if _, _, err := e.Do(t.Context(), "a", "", command{add: 1}); !errors.Is(err, eventstore.ErrBrokenHistory) {
				t.Errorf("%s, %s: %v", name, kind, err)
			}
			do(t, e, "neighbour", "", command{add: 1})
		}
		if n := len(messages(t, log, subjectA)); n != 2 {
			t.Errorf("%s: appended to a damaged history", name)
		}
	}
}

// Another number of the state's schema means: read the events.
func TestStatesOfAnotherSchemaAreNotUsed(t *testing.T) {
	eachLog(t, func(t *testing.T, open func() eventstore.Log) {
		t.Helper()
		old := newCounters(open(), eventstore.WithSchema(1))
		for i := range 100 {
			do(t, old, "a", "c"+strconv.Itoa(i), command{add: 1})
		}
		// Version 2 of the service counts double.
		double := func(c counter, e counterEvent) counter {
			if a, ok := e.(added); ok {
				e = added{2 * a.By}
			}
			return evolve(c, e)
		}
		young := eventstore.NewEntity(open(), counterEvents, decide, double, eventstore.WithSchema(2))
		if c, v := get(t, young, "a"); c.N != 200 || v != 100 {
			t.Errorf("folded with the new code: %+v at %d", c, v)
		}
		if _, v := do(t, young, "a", "c3", command{add: 1}); v != 4 {
			t.Errorf("a command from before is not recognised, version %d", v)
		}
		do(t, young, "a", "new", command{add: 1})
		if c, v := get(t, old, "a"); c.N != 101 || v != 101 {
			t.Errorf("the old code beside it: %+v at %d", c, v)
		}
		if c, v := get(t, newCounters(open()), "a"); c.N != 101 || v != 101 {
			t.Errorf("the old code, cold: %+v at %d", c, v)
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
