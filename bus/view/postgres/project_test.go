package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/event"
	"github.com/ordermesh/ordermesh/bus/view"
	"github.com/ordermesh/ordermesh/bus/view/postgres"
	"github.com/ordermesh/ordermesh/bus/view/viewtest"
	"github.com/ordermesh/ordermesh/embedded/postgres/postgrestest"
)

type tallyEvent interface{ tallyEvent() }

type counted struct {
	N int `json:"n"`
}

func (counted) tallyEvent() {}

var (
	tallies  = contract.NewEvents("tallying", "TALLIES", "tally", contract.Type[tallyEvent, counted]("tally.counted.v1"))
	tallying = contract.Service{Name: "tallying", Appends: []contract.EventsInfo{tallies.Info()}}
	fold     = view.Fold[tallyEvent, viewtest.Row]{
		Apply: func(r viewtest.Row, e event.Event[tallyEvent]) viewtest.Row {
			r.Text, r.In = e.ID, map[string]string{"all": e.ID}
			r.Count += e.Data.(counted).N
			return r
		},
		Lists: viewtest.Lists,
	}
)

const waiting = 60 * time.Second

type projection = view.Projection[tallyEvent, viewtest.Row]

// writer appends events and remembers what they add up to.
type writer struct {
	conn *bus.Conn
	at   map[string]contract.CommitHeader
	want map[string]int
}

func newWriter(conn *bus.Conn) *writer {
	return &writer{conn: conn, at: map[string]contract.CommitHeader{}, want: map[string]int{}}
}

// next is the next event of an entity.
func (w *writer) next(t testing.TB, id string, n int) *nats.Msg {
	t.Helper()
	h := w.at[id]
	h.First, h.Last = h.Last+1, h.Last+1
	body, err := contract.EncodeCommit(contract.Commit{Events: []contract.Record{
		{ID: fmt.Sprint(id, h.Last), Type: "tally.counted.v1", At: time.Now(), Data: contract.Raw(fmt.Sprintf(`{"n":%d}`, n))},
	}})
	if err != nil {
		t.Fatal(err)
	}
	m := &nats.Msg{Subject: "evt.tally." + id, Header: nats.Header{}, Data: body}
	h.SetTo(m.Header.Set)
	w.at[id] = h
	w.want[id] += n
	return m
}

func (w *writer) add(t testing.TB, id string, n int) uint64 {
	t.Helper()
	m := w.next(t, id, n)
	ack, err := w.conn.Appender().Append(t.Context(), m, bus.NoExpectation)
	if err != nil {
		t.Fatal(err)
	}
	return ack.Sequence
}

// addMany appends events to so many entities in turn and returns the last sequence.
func (w *writer) addMany(t testing.TB, events, entities int) uint64 {
	t.Helper()
	var last uint64
	for i := range events {
		m := w.next(t, fmt.Sprint("k", i%entities), i)
		future, err := w.conn.JetStream().PublishMsgAsync(m)
		if err != nil {
			t.Fatal(err)
		}
		if i == events-1 {
			select {
			case ack := <-future.Ok():
				last = ack.Sequence
			case err := <-future.Err():
				t.Fatal(err)
			}
		}
	}
	<-w.conn.JetStream().PublishAsyncComplete()
	return last
}

func project(t *testing.T, conn *bus.Conn, url string) *projection {
	t.Helper()
	s, err := postgres.New(pool(t, url), table())
	check(t, err)
	p, err := view.New(conn, tallies, s, fold)
	check(t, err)
	return p
}

func run(t *testing.T, p *projection) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := p.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	stop = func() {
		cancel()
		wg.Wait()
	}
	t.Cleanup(stop)
	return stop
}

func sums(t *testing.T, p *projection) map[string]int {
	t.Helper()
	got := map[string]int{}
	for cursor := ""; ; {
		page, err := p.Page(t.Context(), view.Query{List: "all", Limit: 100}, cursor)
		check(t, err)
		for _, e := range page.Entries {
			got[e.Key] = e.Row.Count
		}
		if cursor = page.Next; cursor == "" {
			return got
		}
	}
}

func execute(t *testing.T, url, sql string, args ...any) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	check(t, err)
	_, err = conn.Exec(t.Context(), sql, args...)
	check(t, errors.Join(err, conn.Close(t.Context())))
}

func TestAViewCatchesUpAndFollows(t *testing.T) {
	t.Parallel()
	conn, url := bustest.New(t, bustest.WithServices(tallying)), postgrestest.Database(t)
	w := newWriter(conn)
	w.addMany(t, 3000, 700)
	for range 2 { // from nothing, and from the checkpoint
		p := project(t, conn, url)
		stop := run(t, p)
		check(t, p.Wait(t.Context(), w.add(t, "k3", 5)))
		check(t, p.WaitVersion(t.Context(), "k3", w.at["k3"].Last))
		if diff := cmp.Diff(w.want, sums(t, p)); diff != "" {
			t.Error(diff)
		}
		stop()
	}
}

// TestInstancesShareAView has one of three write and all read.
func TestInstancesShareAView(t *testing.T) {
	t.Parallel()
	conn, url := bustest.New(t, bustest.WithServices(tallying)), postgrestest.Database(t)
	w := newWriter(conn)
	var instances []*projection
	var stops []func()
	for range 3 {
		p := project(t, conn, url)
		instances = append(instances, p)
		stops = append(stops, run(t, p))
	}
	for range 2 { // then without the one that wrote
		leader := -1
		bustest.Eventually(t, waiting, func() bool {
			leading := 0
			for i, p := range instances {
				if p.Status().Leads {
					leader = i
					leading++
				}
			}
			return leading == 1
		}, "one instance to lead")
		for range 20 {
			w.add(t, "a", 1)
		}
		version := w.at["a"].Last
		for i, p := range instances {
			if stops[i] == nil {
				continue
			}
			bustest.Eventually(t, waiting, func() bool { return p.Status().Known }, "the instance to know where the view is")
			check(t, p.WaitVersion(t.Context(), "a", version))
			page, err := p.Page(t.Context(), view.Query{List: "all", Limit: 9}, "")
			check(t, err)
			if page.Halted != "" || len(page.Entries) != 1 || page.Entries[0].Row.Count != w.want["a"] {
				t.Errorf("instance %d: %+v", i, page)
			}
		}
		stops[leader]()
		stops[leader] = nil
	}
}

// TestAHaltedViewSaysSoEverywhere meets a gap in one instance; the other says so, too.
func TestAHaltedViewSaysSoEverywhere(t *testing.T) {
	t.Parallel()
	conn, url := bustest.New(t, bustest.WithServices(tallying)), postgrestest.Database(t)
	w := newWriter(conn)
	w.add(t, "a", 1)
	lost := w.at["a"]
	lost.Last += 2
	w.at["a"] = lost
	w.add(t, "a", 1)
	instances := []*projection{project(t, conn, url), project(t, conn, url)}
	for _, p := range instances {
		run(t, p)
	}
	for _, p := range instances {
		bustest.Eventually(t, waiting, func() bool { return strings.Contains(p.Status().Halted, "has lost events") }, "the instance to say so")
		page, err := p.Page(t.Context(), view.Query{List: "all", Limit: 9}, "")
		check(t, err)
		if page.Behind != 1 || page.Halted == "" || len(page.Entries) != 1 {
			t.Errorf("%+v", page)
		}
	}
}

// TestWhatTheTableRefusesHaltsTheView has a column that is too narrow, and widens it.
func TestWhatTheTableRefusesHaltsTheView(t *testing.T) {
	t.Parallel()
	conn, url := bustest.New(t, bustest.WithServices(tallying)), postgrestest.Database(t)
	_, err := postgres.Open(t.Context(), pool(t, url), table())
	check(t, err)
	execute(t, url, "ALTER TABLE tallying.tallies ALTER COLUMN count TYPE smallint")
	w := newWriter(conn)
	seq := w.add(t, "a", 1<<20)
	p := project(t, conn, url)
	run(t, p)
	bustest.Eventually(t, waiting, func() bool { return strings.Contains(p.Status().Halted, "refuses") }, "the view to halt")
	execute(t, url, "ALTER TABLE tallying.tallies ALTER COLUMN count TYPE bigint")
	check(t, p.Wait(t.Context(), seq))
	if got := p.Status(); got.Halted != "" {
		t.Errorf("%+v", got)
	}
}

// TestAnotherStreamHaltsTheView has followed a stream that is not there any more.
func TestAnotherStreamHaltsTheView(t *testing.T) {
	t.Parallel()
	conn, url := bustest.New(t, bustest.WithServices(tallying)), postgrestest.Database(t)
	w := newWriter(conn)
	w.add(t, "a", 1)
	p := project(t, conn, url)
	stop := run(t, p)
	check(t, p.Wait(t.Context(), w.add(t, "a", 1)))
	stop()
	for sql, reason := range map[string]string{
		"UPDATE tallying.view_checkpoint SET sequence = 7":                              "beyond the end",
		"UPDATE tallying.view_checkpoint SET sequence = 2, hash = repeat('0', 32)":      "is not the one",
		"UPDATE tallying.view_checkpoint SET sequence = 1, hash = repeat('1', 32)":      "is not the one",
		"UPDATE tallying.view_checkpoint SET sequence = 1, hash = '', halted = 'a lie'": "",
	} {
		execute(t, url, sql)
		p := project(t, conn, url)
		stop := run(t, p)
		bustest.Eventually(t, waiting, func() bool {
			s := p.Status()
			return s.Known && strings.Contains(s.Halted, reason) && s.Halted != "a lie"
		}, sql)
		stop()
	}
}
