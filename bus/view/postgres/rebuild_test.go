package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/event"
	"github.com/ordermesh/ordermesh/bus/view"
	"github.com/ordermesh/ordermesh/bus/view/postgres"
	"github.com/ordermesh/ordermesh/bus/view/viewtest"
	"github.com/ordermesh/ordermesh/embedded/postgres/postgrestest"
)

// TestARebuildIsSeenAtOnce rebuilds with a fold that writes other texts, while events
// come and the view is read: every read sees all rows, and all by one fold.
func TestARebuildIsSeenAtOnce(t *testing.T) {
	t.Parallel()
	conn, url := bustest.New(t, bustest.WithServices(tallying)), postgrestest.Database(t)
	w := newWriter(conn)
	const entities = 40
	w.addMany(t, 2000, entities)
	p := project(t, conn, url)
	run(t, p)
	check(t, p.Wait(t.Context(), w.add(t, "k1", 1)))
	newFold := fold
	newFold.Apply = func(r viewtest.Row, e event.Event[tallyEvent]) viewtest.Row {
		r = fold.Apply(r, e)
		r.Text = "new " + r.Text
		return r
	}
	store, err := postgres.Open(t.Context(), pool(t, url), table())
	check(t, err)
	ctx, stop := context.WithCancel(t.Context())
	var reading sync.WaitGroup
	reading.Go(func() {
		for ctx.Err() == nil {
			page, err := store.Page(t.Context(), view.Query{List: "all", Limit: 2 * entities})
			if err != nil || len(page) != entities {
				t.Errorf("%d rows, %v", len(page), err)
				return
			}
		}
	})
	for round := range 3 {
		w.addMany(t, 200, entities)
		at, err := view.Rebuild(t.Context(), conn, tallies, store, newFold, view.RebuildOptions{})
		check(t, err)
		if at.Generation != uint64(round+1) {
			t.Errorf("%+v", at)
		}
		rows, err := store.Rows(t.Context(), "k7")
		check(t, err)
		if !strings.HasPrefix(rows["k7"].Row.Text, "new ") {
			t.Errorf("%+v", rows)
		}
		check(t, p.Wait(t.Context(), w.add(t, fmt.Sprint("k", round), 1))) // the old fold goes on from there
	}
	stop()
	reading.Wait()
	if diff := cmp.Diff(w.want, sums(t, p)); diff != "" {
		t.Error(diff)
	}
}

// TestARebuildMendsAHaltedView has one that is ahead of its stream and one with a gap.
func TestARebuildMendsAHaltedView(t *testing.T) {
	t.Parallel()
	conn, url := bustest.New(t, bustest.WithServices(tallying)), postgrestest.Database(t)
	w := newWriter(conn)
	w.addMany(t, 100, 10)
	store, err := postgres.Open(t.Context(), pool(t, url), table())
	check(t, err)
	execute(t, url, "UPDATE tallying.view_checkpoint SET sequence = 100000")
	p := project(t, conn, url)
	run(t, p)
	bustest.Eventually(t, waiting, func() bool { return p.Status().Halted != "" }, "the view to halt")
	_, err = view.Rebuild(t.Context(), conn, tallies, store, fold, view.RebuildOptions{})
	check(t, err)
	bustest.Eventually(t, waiting, func() bool { return p.Status().Halted == "" }, "the view to go on")
	check(t, p.Wait(t.Context(), w.add(t, "k1", 1)))

	lost := w.at["k1"]
	lost.Last++
	w.at["k1"] = lost
	seq := w.add(t, "k1", 1)
	bustest.Eventually(t, waiting, func() bool { return p.Status().Halted != "" }, "the view to halt at the gap")
	if _, err := view.Rebuild(t.Context(), conn, tallies, store, fold, view.RebuildOptions{}); !errors.Is(err, view.ErrGap) {
		t.Errorf("%v", err)
	}
	_, err = view.Rebuild(t.Context(), conn, tallies, store, fold, view.RebuildOptions{AcceptGaps: true})
	check(t, err)
	check(t, p.Wait(t.Context(), seq))
	check(t, p.Wait(t.Context(), w.add(t, "k1", 1)))
	if diff := cmp.Diff(w.want, sums(t, p)); diff != "" {
		t.Error(diff)
	}
}

func TestOneRebuildAtATime(t *testing.T) {
	t.Parallel()
	store := open(t)
	first, err := store.Beside(t.Context())
	check(t, err)
	if _, err := store.Beside(t.Context()); !errors.Is(err, postgres.ErrRebuilding) {
		t.Errorf("%v", err)
	}
	check(t, first.Close(t.Context()))
	second, err := store.Beside(t.Context())
	check(t, err)
	failed := errors.New("not yet")
	if err := second.Swap(t.Context(), func(context.Context, view.Checkpoint) error { return failed }); !errors.Is(err, failed) {
		t.Errorf("%v", err)
	}
	check(t, second.Close(t.Context()))
}

func TestBesideIsAStoreLikeAnother(t *testing.T) {
	t.Parallel()
	viewtest.Run(t, func(t *testing.T) view.Store[viewtest.Row] {
		beside, err := open(t).Beside(t.Context())
		check(t, err)
		t.Cleanup(func() { check(t, beside.Close(context.WithoutCancel(t.Context()))) })
		return beside
	})
}

// TestVerifyFindsWhatIsNotOfTheStream changes a row, removes one and adds one.
func TestVerifyFindsWhatIsNotOfTheStream(t *testing.T) {
	t.Parallel()
	conn, url := bustest.New(t, bustest.WithServices(tallying)), postgrestest.Database(t)
	w := newWriter(conn)
	store, err := postgres.Open(t.Context(), pool(t, url), table())
	check(t, err)
	verify := func() view.Verdict {
		v, err := view.Verify(t.Context(), conn, tallies, store, fold)
		check(t, err)
		return v
	}
	if v := verify(); !v.Clean() || v.Rows != 0 {
		t.Errorf("an empty view: %+v", v)
	}
	last := w.addMany(t, 3000, 60)
	p := project(t, conn, url)
	stop := run(t, p)
	check(t, p.Wait(t.Context(), last))
	stop()
	w.addMany(t, 100, 60) // the view has not seen these
	if v := verify(); !v.Clean() || v.Rows != 60 || v.Checkpoint.Sequence != last {
		t.Errorf("a good view: %+v", v)
	}
	execute(t, url, "UPDATE tallying.tallies SET count = count + 1 WHERE key = 'k3'")
	execute(t, url, "UPDATE tallying.tallies SET version = version + 1 WHERE key = 'k4'")
	execute(t, url, "UPDATE tallying.tallies SET key = 'ghost' WHERE key = 'k5'")
	v := verify()
	if v.Clean() {
		t.Error("it is clean")
	}
	if diff := cmp.Diff([][]string{{"k3", "k4"}, {"k5"}, {"ghost"}}, [][]string{v.Different, v.Missing, v.Foreign}); diff != "" {
		t.Error(diff)
	}
}
