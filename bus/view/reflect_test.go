package view_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/view"
	"github.com/ordermesh/ordermesh/bus/view/viewtest"
)

func TestReflect(t *testing.T) {
	t.Parallel()
	conn := bustest.New(t, bustest.WithServices(tallying))
	p, err := view.New(conn, tallies, view.NewMemory[viewtest.Row](), fold)
	check(t, err)
	run(t, p)
	w := newWriter(conn)
	for i := range 20 {
		w.add(t, "k", 1)
		check(t, p.Reflect(t.Context(), "k", uint64(i)+1))
		if e, _, err := p.Row(t.Context(), "k"); err != nil || e.Version != uint64(i)+1 {
			t.Fatalf("version %d, %v", e.Version, err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := p.Reflect(ctx, "k", 21); !errors.Is(err, view.ErrNotReached) || ctx.Err() != nil {
		t.Errorf("%v; of its time: %v", err, ctx.Err())
	}
}

// TestACursorIsBoundToThePartOfTheList: a page's cursor continues the same question only.
func TestACursorIsBoundToThePartOfTheList(t *testing.T) {
	t.Parallel()
	conn := bustest.New(t, bustest.WithServices(tallying))
	w := newWriter(conn)
	for _, key := range []string{"a1", "a2", "a3", "b1"} {
		w.add(t, key, 1)
	}
	p, err := view.New(conn, tallies, view.NewMemory[viewtest.Row](), fold)
	check(t, err)
	run(t, p)
	check(t, p.Reflect(t.Context(), "b1", 1))
	part := view.Query{List: "all", Limit: 2}.HasPrefix("a")
	page, err := p.Page(t.Context(), part, "")
	check(t, err)
	if len(page.Entries) != 2 || page.Next == "" {
		t.Fatalf("%+v", page)
	}
	for name, q := range map[string]view.Query{
		"the whole list": {List: "all", Limit: 2},
		"another part":   view.Query{List: "all", Limit: 2}.HasPrefix("b"),
		"another list":   {List: "other", Limit: 2, From: part.From, Until: part.Until},
	} {
		if _, err := p.Page(t.Context(), q, page.Next); !errors.Is(err, view.ErrCursor) {
			t.Errorf("%s: %v", name, err)
		}
	}
	page, err = p.Page(t.Context(), part, page.Next)
	if err != nil || len(page.Entries) != 1 || page.Entries[0].Key != "a3" || page.Next != "" {
		t.Errorf("%+v, %v", page, err)
	}
}
