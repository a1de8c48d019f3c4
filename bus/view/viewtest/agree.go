package viewtest

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ordermesh/ordermesh/bus/view"
)

// Agree stores the same rows in two empty stores, in batches, and compares all that they
// answer: the rows, and every page of each list, both ways and within bounds.
func Agree[R any](t *testing.T, one, other view.Store[R], lists []string, batches [][]view.Change[R]) {
	t.Helper()
	random := rand.New(rand.NewPCG(1, 2))
	orders := map[string][]string{}
	var keys []string
	for i, batch := range batches {
		for _, s := range []view.Store[R]{one, other} {
			from, err := s.Checkpoint(t.Context())
			check(t, err)
			to := from
			to.Sequence++
			check(t, s.Apply(t.Context(), from, to, batch))
		}
		for _, c := range batch {
			keys = append(keys, c.Key)
			for _, p := range c.Places {
				orders[p.List] = append(orders[p.List], p.Order)
			}
		}
		if i%8 == 0 || i == len(batches)-1 {
			agreeNow(t, one, other, keys, lists, func(list string) string { return bound(random, orders[list]) })
		}
	}
}

// bound is the order of a row that is or was in the list, or none.
func bound(random *rand.Rand, orders []string) string {
	if len(orders) == 0 || random.IntN(3) == 0 {
		return ""
	}
	return orders[random.IntN(len(orders))]
}

func agreeNow[R any](t *testing.T, one, other view.Store[R], keys, lists []string, bound func(list string) string) {
	t.Helper()
	slices.Sort(keys)
	keys = append(slices.Compact(keys), "no-such-key")
	want, err := one.Rows(t.Context(), keys...)
	check(t, err)
	got, err := other.Rows(t.Context(), keys...)
	check(t, err)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("rows: %s", diff)
	}
	for _, list := range lists {
		for _, q := range []view.Query{
			{List: list, Limit: 7},
			{List: list, Limit: 3, From: bound(list), Until: bound(list)},
			{List: list, Limit: 3, Newest: true, From: bound(list), Until: bound(list)},
		} {
			if diff := cmp.Diff(whole(t, one, q), whole(t, other, q)); diff != "" {
				t.Fatalf("%+v: %s", q, diff)
			}
		}
	}
}

// whole reads a list page by page.
func whole[R any](t *testing.T, s view.Store[R], q view.Query) []view.Placed[R] {
	t.Helper()
	all := []view.Placed[R]{}
	for {
		page, err := s.Page(t.Context(), q)
		check(t, err)
		if all = append(all, page...); len(page) < q.Limit {
			return all
		}
		last := page[len(page)-1]
		q.After = view.Position{Order: last.Order, Key: last.Key}
	}
}
