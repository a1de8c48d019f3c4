// Package viewtest is the suite that every view.Store passes.
package viewtest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ordermesh/ordermesh/bus/view"
)

// Row is the row that the suite stores.
type Row struct {
	Text  string            `json:"text"`
	Count int               `json:"count"`
	In    map[string]string `json:"in"` // the row's order in each list that it is in
}

// Lists are the places of a row.
func Lists(r Row) []view.Place {
	var places []view.Place
	for list, order := range r.In {
		places = append(places, view.Place{List: list, Order: order})
	}
	return places
}

// Run runs the suite; open returns an empty store that lives as long as the test.
func Run(t *testing.T, open func(t *testing.T) view.Store[Row]) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, view.Store[Row]){
		"an empty store answers":                   empty,
		"rows and checkpoint move together":        together,
		"a stale writer changes nothing":           stale,
		"one of many writers wins":                 race,
		"pages follow the order, both ways":        pages,
		"a row leaves the lists that it is not in": leaves,
		"a cursor survives what comes and goes":    cursor,
		"reset removes everything":                 reset,
		"bounds cut a list, both ways":             bounds,
		"lists agree with a model":                 model,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func row(key string, version uint64, text string, places ...view.Place) view.Change[Row] {
	r := Row{Text: text, In: map[string]string{}}
	for _, p := range places {
		r.In[p.List] = p.Order
	}
	return view.Change[Row]{Entry: view.Entry[Row]{Key: key, Version: version, Row: r}, Places: places}
}

// apply moves a store from one sequence to another.
func apply(t *testing.T, s view.Store[Row], from, to uint64, changes ...view.Change[Row]) error {
	t.Helper()
	now, err := s.Checkpoint(t.Context())
	check(t, err)
	now.Sequence = from
	return s.Apply(t.Context(), now, view.Checkpoint{Sequence: to, Hash: hash(to), Stream: "S"}, changes)
}

func hash(sequence uint64) string { return fmt.Sprintf("%032x", sequence) }

func in(list, order string) view.Place { return view.Place{List: list, Order: order} }

func checkpoint(t *testing.T, s view.Store[Row]) uint64 {
	t.Helper()
	c, err := s.Checkpoint(t.Context())
	check(t, err)
	return c.Sequence
}

func keys(t *testing.T, s view.Store[Row], q view.Query) string {
	t.Helper()
	page, err := s.Page(t.Context(), q)
	check(t, err)
	var list []string
	for _, p := range page {
		list = append(list, p.Key)
	}
	return strings.Join(list, " ")
}

func empty(t *testing.T, s view.Store[Row]) {
	if c := checkpoint(t, s); c != 0 {
		t.Errorf("the checkpoint is %d", c)
	}
	rows, err := s.Rows(t.Context(), "a", "b")
	check(t, err)
	if len(rows) != 0 {
		t.Errorf("rows: %v", rows)
	}
	if got := keys(t, s, view.Query{List: "none", Limit: 10}); got != "" {
		t.Errorf("page: %s", got)
	}
}

func together(t *testing.T, s view.Store[Row]) {
	ctx := t.Context()
	check(t, apply(t, s, 0, 3, row("a", 1, "one"), row("b", 1, "two")))
	check(t, apply(t, s, 3, 9, row("a", 4, "three")))
	check(t, apply(t, s, 9, 11)) // messages that were none of its business
	rows, err := s.Rows(ctx, "a", "b", "c")
	check(t, err)
	want := map[string]view.Entry[Row]{
		"a": row("a", 4, "three").Entry, "b": row("b", 1, "two").Entry,
	}
	if diff := cmp.Diff(want, rows); diff != "" {
		t.Error(diff)
	}
	if c := checkpoint(t, s); c != 11 {
		t.Errorf("the checkpoint is %d", c)
	}
}

func stale(t *testing.T, s view.Store[Row]) {
	ctx := t.Context()
	check(t, apply(t, s, 0, 5, row("a", 1, "one", in("l", "1"))))
	for _, c := range [][2]uint64{{0, 6}, {4, 6}, {6, 7}, {5, 4}} {
		err := apply(t, s, c[0], c[1], row("a", 2, "wrong", in("l", "2")), row("b", 1, "wrong"))
		if !errors.Is(err, view.ErrMoved) {
			t.Errorf("from %d to %d: %v", c[0], c[1], err)
		}
	}
	rows, err := s.Rows(ctx, "a", "b")
	check(t, err)
	if len(rows) != 1 || rows["a"].Row.Text != "one" || checkpoint(t, s) != 5 {
		t.Errorf("a stale writer left %v at %d", rows, checkpoint(t, s))
	}
}

func race(t *testing.T, s view.Store[Row]) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	var won []string
	for i := range 8 {
		wg.Go(func() {
			text := fmt.Sprint("writer ", i)
			to := view.Checkpoint{Sequence: uint64(i) + 1} //nolint:gosec // small
			err := s.Apply(t.Context(), view.Checkpoint{}, to, []view.Change[Row]{row("a", 1, text)})
			if err == nil {
				mu.Lock()
				defer mu.Unlock()
				won = append(won, text)
			} else if !errors.Is(err, view.ErrMoved) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	rows, err := s.Rows(context.WithoutCancel(t.Context()), "a")
	check(t, err)
	if len(won) != 1 || rows["a"].Row.Text != won[0] {
		t.Errorf("%v won, the row says %q", won, rows["a"].Row.Text)
	}
}

func pages(t *testing.T, s view.Store[Row]) {
	check(t, apply(t, s, 0, 1,
		row("d", 1, "", in("l", "2")), row("a", 1, "", in("l", "2")), row("z", 1, "", in("l", "1")),
		row("B", 1, "", in("l", "2")), row("y", 1, "", in("l", "10"), in("other", "1")),
	))
	for q, want := range map[view.Query]string{
		{List: "l", Limit: 10}:               "z y B a d", // "1" < "10" < "2", byte by byte
		{List: "l", Limit: 10, Newest: true}: "d a B y z",
		{List: "l", Limit: 2}:                "z y",
		{List: "l", Limit: 2, After: view.Position{Order: "10", Key: "y"}}:              "B a",
		{List: "l", Limit: 2, After: view.Position{Order: "2", Key: "a"}}:               "d",
		{List: "l", Limit: 2, Newest: true, After: view.Position{Order: "2", Key: "B"}}: "y z",
		{List: "l", Limit: 2, Newest: true, After: view.Position{Order: "1", Key: "z"}}: "",
		{List: "other", Limit: 10}: "y", {List: "l", Limit: 0}: "", {List: "none", Limit: 10}: "",
	} {
		if got := keys(t, s, q); got != want {
			t.Errorf("%+v: %q, want %q", q, got, want)
		}
	}
}

func bounds(t *testing.T, s view.Store[Row]) {
	var rows []view.Change[Row]
	for key := range strings.FieldsSeq("a ab abc abd ac b ba") {
		rows = append(rows, row(key, 1, "", in("l", key)))
	}
	check(t, apply(t, s, 0, 1, rows...))
	after := func(key string) view.Position { return view.Position{Order: key, Key: key} }
	for q, want := range map[view.Query]string{
		view.Query{}.HasPrefix("ab"):        "ab abc abd",
		view.Query{}.HasPrefix(""):          "a ab abc abd ac b ba",
		{From: "ac"}:                        "ac b ba",
		{Until: "abd"}:                      "a ab abc",
		{From: "b", Until: "b"}:             "",
		{From: "ab", After: after("abc")}:   "abd ac b ba",
		{From: "ac", After: after("a")}:     "ac b ba",
		{Until: "abc", After: after("abd")}: "",
	} {
		q.List, q.Limit = "l", 10
		if got := keys(t, s, q); got != want {
			t.Errorf("%+v: %q, want %q", q, got, want)
		}
		if !q.After.IsZero() {
			continue
		}
		q.Newest = true
		backwards := strings.Fields(want)
		slices.Reverse(backwards)
		if got := keys(t, s, q); got != strings.Join(backwards, " ") {
			t.Errorf("%+v: %q", q, got)
		}
	}
	for q, want := range map[view.Query]string{
		{Until: "ac", After: after("b")}:               "abd abc",
		{Until: "ac", After: after("abc"), From: "ab"}: "ab",
		{From: "b", After: after("b")}:                 "",
	} {
		q.List, q.Limit, q.Newest = "l", 2, true
		if got := keys(t, s, q); got != want {
			t.Errorf("%+v: %q, want %q", q, got, want)
		}
	}
}

func leaves(t *testing.T, s view.Store[Row]) {
	check(t, apply(t, s, 0, 1, row("a", 1, "", in("open", "1"), in("all", "1")), row("b", 1, "", in("open", "2"))))
	check(t, apply(t, s, 1, 2, row("a", 2, "", in("closed", "1"), in("all", "5")), row("b", 2, "")))
	got := keys(t, s, view.Query{List: "open", Limit: 9}) + "|" + keys(t, s, view.Query{List: "closed", Limit: 9}) + "|" + keys(t, s, view.Query{List: "all", Limit: 9})
	if got != "|a|a" {
		t.Errorf("open|closed|all: %s", got)
	}
	check(t, apply(t, s, 2, 3, row("a", 3, "", in("open", "1"))))
	if got := keys(t, s, view.Query{List: "open", Limit: 9}); got != "a" {
		t.Errorf("open again: %s", got)
	}
}

func cursor(t *testing.T, s view.Store[Row]) {
	var first []view.Change[Row]
	for i := range 9 {
		first = append(first, row(fmt.Sprint("k", i), 1, "", in("l", view.Ascending(uint64(i)))))
	}
	check(t, apply(t, s, 0, 1, first...))
	at := view.Position{Order: view.Ascending(4), Key: "k4"}
	check(t, apply(t, s, 1, 2, row("k4", 2, ""), row("k6", 2, ""), row("x", 1, "", in("l", view.Ascending(4)))))
	if got := keys(t, s, view.Query{List: "l", Limit: 3, After: at}); got != "x k5 k7" {
		t.Errorf("after k4: %s", got)
	}
	if got := keys(t, s, view.Query{List: "l", Limit: 3, After: at, Newest: true}); got != "k3 k2 k1" {
		t.Errorf("before k4: %s", got)
	}
}

func reset(t *testing.T, s view.Store[Row]) {
	check(t, apply(t, s, 0, 7, row("a", 1, "", in("l", "1"))))
	check(t, s.Reset(t.Context()))
	rows, err := s.Rows(t.Context(), "a")
	check(t, err)
	if len(rows) != 0 || checkpoint(t, s) != 0 || keys(t, s, view.Query{List: "l", Limit: 1}) != "" {
		t.Error("something is left")
	}
	check(t, apply(t, s, 0, 1, row("a", 1, "", in("l", "1"))))
}

// model moves a thousand rows at random and compares every page with a sorted slice.
func model(t *testing.T, s view.Store[Row]) {
	random := rand.New(rand.NewPCG(1, 2))
	where := map[string]string{}
	for step := range uint64(60) {
		changes := map[string]view.Change[Row]{}
		for range 50 {
			key, order := fmt.Sprint("k", random.IntN(1000)), view.Ascending(random.Uint64N(1000))
			if changes[key] = row(key, step+1, "", in("l", order)); random.IntN(4) == 0 {
				changes[key] = row(key, step+1, "")
			}
		}
		var list []view.Change[Row]
		for key, c := range changes {
			delete(where, key)
			for _, p := range c.Places {
				where[key] = p.Order
			}
			list = append(list, c)
		}
		check(t, apply(t, s, step, step+1, list...))
	}
	var want []string
	for key, order := range where {
		want = append(want, order+" "+key)
	}
	slices.Sort(want)
	for _, newest := range []bool{false, true} {
		var got []string
		for q := (view.Query{List: "l", Limit: 7, Newest: newest}); ; {
			page, err := s.Page(t.Context(), q)
			check(t, err)
			if len(page) == 0 {
				break
			}
			for _, p := range page {
				got = append(got, p.Order+" "+p.Key)
			}
			q.After = view.Position{Order: page[len(page)-1].Order, Key: page[len(page)-1].Key}
		}
		if newest {
			slices.Reverse(got)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
}
