package eventstore_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/eventstore"
	"github.com/ordermesh/ordermesh/bus/telemetry"
)

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
