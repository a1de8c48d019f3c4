package view_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/event"
	"github.com/ordermesh/ordermesh/bus/view"
	"github.com/ordermesh/ordermesh/bus/view/viewtest"
)

func TestMain(m *testing.M) { bustest.Main(m) }

func TestMemory(t *testing.T) {
	t.Parallel()
	viewtest.Run(t, func(*testing.T) view.Store[viewtest.Row] { return view.NewMemory[viewtest.Row]() })
}

func TestCursor(t *testing.T) {
	t.Parallel()
	at := view.Position{Order: view.Ascending(7), Key: "k"}
	if got, err := view.ParseCursor("customer/c1", view.Cursor("customer/c1", at)); err != nil || got != at {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := view.ParseCursor("l", ""); err != nil || !got.IsZero() || view.Cursor("l", got) != "" {
		t.Errorf("the first page: %+v, %v", got, err)
	}
	for _, cursor := range []string{view.Cursor("customer/c2", at), "x", "AAAA", "*", view.Cursor("customer/c1", at)[:12]} {
		if _, err := view.ParseCursor("customer/c1", cursor); !errors.Is(err, view.ErrCursor) {
			t.Errorf("%q: %v", cursor, err)
		}
	}
}

// A tally of numbers, an entity for these tests.
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
			r.Text = e.ID
			r.Count += e.Data.(counted).N
			return r
		},
		Lists: func(r viewtest.Row) []view.Place { return []view.Place{{List: "all", Order: r.Text}} },
	}
)

const patience = 20 * time.Second

type writer struct {
	conn *bus.Conn
	at   map[string]contract.CommitHeader
	want map[string]int
}

func newWriter(conn *bus.Conn) *writer {
	return &writer{conn: conn, at: map[string]contract.CommitHeader{}, want: map[string]int{}}
}

func (w *writer) add(t *testing.T, id string, n int) uint64 {
	t.Helper()
	h := w.at[id]
	h.First, h.Last = h.Last+1, h.Last+1
	body, err := contract.EncodeCommit(contract.Commit{Events: []contract.Record{
		{ID: fmt.Sprint(id, h.Last), Type: "tally.counted.v1", At: time.Now(), Data: contract.Raw(fmt.Sprintf(`{"n":%d}`, n))},
	}})
	check(t, err)
	m := &nats.Msg{Subject: "evt.tally." + id, Header: nats.Header{}, Data: body}
	h.SetTo(m.Header.Set)
	h.Prev = w.publish(t, m)
	w.at[id] = h
	w.want[id] += n
	return h.Prev
}

func (w *writer) publish(t *testing.T, m *nats.Msg) uint64 {
	t.Helper()
	var seq uint64
	bustest.Eventually(t, patience, func() bool {
		ack, err := w.conn.Appender().Append(t.Context(), m, bus.NoExpectation)
		seq = ack.Sequence
		return err == nil
	}, "the stream to take a message")
	return seq
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func run[E, R any](t *testing.T, p *view.Projection[E, R]) (stop func()) {
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

// sums reads the whole view through pages of three.
func sums(t *testing.T, p *view.Projection[tallyEvent, viewtest.Row]) map[string]int {
	t.Helper()
	got := map[string]int{}
	for cursor := ""; ; {
		page, err := p.Page(t.Context(), view.Query{List: "all", Limit: 3}, cursor)
		check(t, err)
		for _, e := range page.Entries {
			got[e.Key] = e.Row.Count
		}
		if cursor = page.Next; cursor == "" {
			return got
		}
	}
}

func TestProjectionFollowsTheStream(t *testing.T) {
	t.Parallel()
	bustest.Each(t, func(t *testing.T, b *bustest.Broker) {
		w := newWriter(b.Dial(t))
		for i := range 30 {
			w.add(t, fmt.Sprint("k", i%10), i)
		}
		p, err := view.New(b.Dial(t), tallies, view.NewMemory[viewtest.Row](), fold)
		check(t, err)
		if _, err := p.Page(t.Context(), view.Query{List: "all", Limit: 1}, ""); !errors.Is(err, contract.ErrUnavailable) {
			t.Errorf("before the first look: %v", err)
		}
		run(t, p)
		check(t, p.WaitVersion(t.Context(), "k3", 3))
		check(t, p.Wait(t.Context(), w.add(t, "k3", 100)))
		if diff := cmp.Diff(w.want, sums(t, p)); diff != "" {
			t.Error(diff)
		}
		if behind, known := p.Behind(); behind != 0 || !known {
			t.Errorf("%d behind", behind)
		}

		b.Stop(t, "TALLIES")
		b.Start(t)
		seq := uint64(0)
		for i := range 20 {
			seq = w.add(t, fmt.Sprint("k", i), 1)
		}
		check(t, p.Wait(t.Context(), seq))
		if diff := cmp.Diff(w.want, sums(t, p)); diff != "" {
			t.Error(diff)
		}
	}, bustest.WithServices(tallying))
}

func TestProjectionGoesOnFromItsCheckpointAndRebuildsToTheSame(t *testing.T) {
	t.Parallel()
	conn := bustest.New(t, bustest.WithServices(tallying))
	w := newWriter(conn)
	kept := view.NewMemory[viewtest.Row]()
	seq := uint64(0)
	for round := range 5 {
		for i := range 500 {
			seq = w.add(t, fmt.Sprint("k", i%7), i*round)
		}
		p, err := view.New(conn, tallies, kept, fold)
		check(t, err)
		stop := run(t, p)
		check(t, p.Wait(t.Context(), seq-uint64(100*round))) // stopped in the middle
		stop()
	}
	p, err := view.New(conn, tallies, kept, fold)
	check(t, err)
	run(t, p)
	check(t, p.Wait(t.Context(), seq))
	rebuilt, err := view.New(conn, tallies, view.NewMemory[viewtest.Row](), fold)
	check(t, err)
	run(t, rebuilt)
	check(t, rebuilt.Wait(t.Context(), seq))
	if diff := cmp.Diff(w.want, sums(t, p)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(w.want, sums(t, rebuilt)); diff != "" {
		t.Error(diff)
	}
}

func TestProjectionLeavesOutWhatItCannotRead(t *testing.T) {
	t.Parallel()
	conn := bustest.New(t, bustest.WithServices(tallying))
	w := newWriter(conn)
	w.add(t, "a", 1)
	w.publish(t, &nats.Msg{Subject: "evt.tally.a", Data: []byte("not ours")})
	ours := nats.Header{contract.HeaderVersion: {"2-3"}, contract.HeaderPrev: {"1"}, contract.HeaderSnap: {"0"}}
	w.publish(t, &nats.Msg{Subject: "evt.tally.a", Header: ours, Data: []byte(`{"v":1,"events":[{"id":"x","type":"tally.halved.v9","command":"","at":"2024-01-01T00:00:00Z","data":{}},{"id":"y","type":"tally.counted.v1","command":"","at":"2024-01-01T00:00:00Z","data":{"n":5}}]}`)})
	damaged := nats.Header{contract.HeaderVersion: {"1-2"}, contract.HeaderPrev: {"0"}, contract.HeaderSnap: {"0"}}
	w.publish(t, &nats.Msg{Subject: "evt.tally.b", Header: damaged, Data: []byte(`{`)})
	w.at["b"] = contract.CommitHeader{Last: 2}
	w.add(t, "b", 7)
	seq := w.add(t, "c", 1)
	p, err := view.New(conn, tallies, view.NewMemory[viewtest.Row](), fold)
	check(t, err)
	run(t, p)
	check(t, p.Wait(t.Context(), seq))
	if diff := cmp.Diff(map[string]int{"a": 6, "b": 7, "c": 1}, sums(t, p)); diff != "" {
		t.Error(diff)
	}
	if e, ok, err := p.Row(t.Context(), "a"); err != nil || !ok || e.Version != 3 {
		t.Errorf("%+v, %v, %v", e, ok, err)
	}
}

func TestWaitEndsWithItsContext(t *testing.T) {
	t.Parallel()
	conn := bustest.New(t, bustest.WithServices(tallying))
	p, err := view.New(conn, tallies, view.NewMemory[viewtest.Row](), fold)
	check(t, err)
	run(t, p)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := p.Wait(ctx, 1); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

// unmade is a store that cannot be read before it was prepared.
type unmade struct {
	view.Store[viewtest.Row]
	made atomic.Bool
}

func (u *unmade) Checkpoint(ctx context.Context) (view.Checkpoint, error) {
	u.made.Store(true)
	return u.Store.Checkpoint(ctx)
}

func (u *unmade) Rows(ctx context.Context, keys ...string) (map[string]view.Entry[viewtest.Row], error) {
	if !u.made.Load() {
		return nil, errors.New("there is no table")
	}
	return u.Store.Rows(ctx, keys...)
}

// TestWhoWaitsEarlyWaitsForTheStore: a version can be waited for before the view has
// begun.
func TestWhoWaitsEarlyWaitsForTheStore(t *testing.T) {
	t.Parallel()
	b := bustest.Server(t, bustest.WithServices(tallying))
	p, err := view.New(b.Dial(t), tallies, &unmade{Store: view.NewMemory[viewtest.Row]()}, fold)
	check(t, err)
	soon, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := p.WaitVersion(soon, "a", 1); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("before the view has begun: %v", err)
	}
	end := run(t, p)
	newWriter(b.Dial(t)).add(t, "a", 1)
	check(t, p.WaitVersion(t.Context(), "a", 1))
	end()
}
