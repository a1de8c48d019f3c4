package view_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/view"
	"github.com/ordermesh/ordermesh/bus/view/viewtest"
)

// halted waits until a view stands still and returns why.
func halted(t *testing.T, p *view.Projection[tallyEvent, viewtest.Row]) string {
	t.Helper()
	bustest.Eventually(t, patience, func() bool { return p.Status().Halted != "" }, "the view to halt")
	return p.Status().Halted
}

func TestAViewHaltsAtAGapAndGoesOnWhenItIsMended(t *testing.T) {
	t.Parallel()
	conn := bustest.New(t, bustest.WithServices(tallying))
	w := newWriter(conn)
	w.add(t, "a", 1)
	w.add(t, "b", 1)
	lost := w.at["b"]
	lost.Last += 3
	w.at["b"] = lost // versions 2 to 4 were never stored
	w.add(t, "b", 1)
	seq := w.add(t, "a", 10)
	p, err := view.New(conn, tallies, view.NewMemory[viewtest.Row](), fold)
	check(t, err)
	run(t, p)
	reason := halted(t, p)
	for _, part := range []string{"mesh verify", "evt.tally.b", "version 1", "5 comes"} {
		if !strings.Contains(reason, part) {
			t.Errorf("%q is not in %q", part, reason)
		}
	}
	page, err := p.Page(t.Context(), view.Query{List: "all", Limit: 9}, "")
	check(t, err)
	if page.Halted != reason || page.Behind != 2 || len(page.Entries) != 2 {
		t.Errorf("%+v", page)
	}
	if got := p.Status().Trouble(); !strings.Contains(got, "tally") {
		t.Errorf("%q", got)
	}
	stream, err := conn.JetStream().Stream(t.Context(), "TALLIES")
	check(t, err)
	check(t, stream.Purge(t.Context(), jetstream.WithPurgeSubject("evt.tally.b")))
	check(t, p.Wait(t.Context(), seq))
	if got := p.Status(); got.Halted != "" || got.Behind != 0 {
		t.Errorf("%+v", got)
	}
	if diff := cmp.Diff(map[string]int{"a": 11, "b": 1}, sums(t, p)); diff != "" {
		t.Error(diff)
	}
}

// TestAViewInMemoryBeginsAgainOverAnotherHistory has a store whose checkpoint is of a
// stream that was replaced.
func TestAViewInMemoryBeginsAgainOverAnotherHistory(t *testing.T) {
	t.Parallel()
	for name, checkpoint := range map[string]view.Checkpoint{
		"beyond the end":           {Sequence: 10},
		"another message is there": {Sequence: 2, Hash: strings.Repeat("0", 32)},
		"of another stream":        {Sequence: 3, Stream: "TALLIES@2001-01-01T00:00:00Z"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := bustest.New(t, bustest.WithServices(tallying))
			w := newWriter(conn)
			w.add(t, "a", 1)
			w.add(t, "a", 2)
			w.publish(t, &nats.Msg{Subject: "evt.tally.gone", Data: []byte("not ours")})
			seq := w.add(t, "b", 4)
			stream, err := conn.JetStream().Stream(t.Context(), "TALLIES")
			check(t, err)
			check(t, stream.Purge(t.Context(), jetstream.WithPurgeSubject("evt.tally.gone")))
			store := view.NewMemory[viewtest.Row]()
			check(t, store.Apply(t.Context(), view.Checkpoint{}, checkpoint, []view.Change[viewtest.Row]{
				{Entry: view.Entry[viewtest.Row]{Key: "of the past", Version: 1}, Places: []view.Place{{List: "all", Order: "x"}}},
			}))
			p, err := view.New(conn, tallies, store, fold)
			check(t, err)
			run(t, p)
			bustest.Eventually(t, patience, func() bool { return p.Status().Sequence == seq }, "the view to be there")
			if diff := cmp.Diff(w.want, sums(t, p)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAnEntityThatBeganAnewBeginsAnewInTheView(t *testing.T) {
	t.Parallel()
	conn := bustest.New(t, bustest.WithServices(tallying))
	w := newWriter(conn)
	p, err := view.New(conn, tallies, view.NewMemory[viewtest.Row](), fold)
	check(t, err)
	run(t, p)
	check(t, p.Wait(t.Context(), w.add(t, "a", 1)))
	stream, err := conn.JetStream().Stream(t.Context(), "TALLIES")
	check(t, err)
	check(t, stream.Purge(t.Context()))
	w.at["a"], w.want["a"] = contract.CommitHeader{}, 0
	check(t, p.Wait(t.Context(), w.add(t, "a", 5)))
	if diff := cmp.Diff(w.want, sums(t, p)); diff != "" {
		t.Error(diff)
	}
}

func TestAViewGoesOnFromACheckpointWhoseMessageWasPurged(t *testing.T) {
	t.Parallel()
	conn := bustest.New(t, bustest.WithServices(tallying))
	w := newWriter(conn)
	store := view.NewMemory[viewtest.Row]()
	w.add(t, "a", 1)
	seq := w.add(t, "b", 1)
	p, err := view.New(conn, tallies, store, fold)
	check(t, err)
	end := run(t, p)
	check(t, p.Wait(t.Context(), seq))
	end()
	stream, err := conn.JetStream().Stream(t.Context(), "TALLIES")
	check(t, err)
	check(t, stream.Purge(t.Context(), jetstream.WithPurgeSubject("evt.tally.b")))
	p, err = view.New(conn, tallies, store, fold)
	check(t, err)
	run(t, p)
	check(t, p.Wait(t.Context(), w.add(t, "a", 5)))
	if diff := cmp.Diff(w.want, sums(t, p)); diff != "" { // b was not emptied with the rest
		t.Error(diff)
	}
	if got, _ := store.Checkpoint(t.Context()); got.Generation != 0 || got.Halted != "" || got.Hash == "" {
		t.Errorf("%+v", got)
	}
}
