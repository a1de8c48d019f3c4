// Package viewtest is the suite that every store of the orders' view passes: random
// orders go through it, and what it answers is compared with a plain count over all of
// them, which keeps nothing and knows no index.
package viewtest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	bus "github.com/ordermesh/ordermesh/bus/view"
	"github.com/ordermesh/ordermesh/contracts/orders"
	"github.com/ordermesh/ordermesh/services/orders/view"
)

// Run runs the suite; open returns an empty store that lives as long as the test.
func Run(t *testing.T, open func(t *testing.T) view.Store) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, view.Store){
		"an empty store answers":                   empty,
		"what a stale writer says changes nothing": stale,
		"random orders":                            randomOrders,
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

func empty(t *testing.T, s view.Store) {
	compare(t, s, NewWorld(1))
}

// stale writes from a checkpoint at which the store is not.
func stale(t *testing.T, s view.Store) {
	w := NewWorld(2)
	apply(t, s, w, 40)
	if err := s.Apply(t.Context(), at(t, s, w.sequence+1), at(t, s, w.sequence+2), w.fork().changes(20)); err == nil {
		t.Fatal("a stale writer was believed")
	}
	compare(t, s, w)
}

func randomOrders(t *testing.T, s view.Store) {
	w := NewWorld(3)
	for range 6 {
		apply(t, s, w, 80)
		compare(t, s, w)
	}
	check(t, s.Reset(t.Context()))
	compare(t, s, NewWorld(4))
	again := NewWorld(5)
	apply(t, s, again, 30)
	compare(t, s, again)
}

// at is a store's checkpoint with another sequence.
func at(t *testing.T, s view.Store, sequence uint64) bus.Checkpoint {
	t.Helper()
	c, err := s.Checkpoint(t.Context())
	check(t, err)
	c.Sequence = sequence
	return c
}

// apply takes so many steps and stores them in batches.
func apply(t *testing.T, s view.Store, w *World, steps int) {
	t.Helper()
	for steps > 0 {
		n := min(steps, 1+w.random.IntN(12))
		from := w.sequence
		changes := w.changes(n)
		check(t, s.Apply(t.Context(), at(t, s, from), at(t, s, w.sequence), changes))
		steps -= n
	}
}

// compare holds every answer of the store against the count over the world's orders.
func compare(t *testing.T, s view.Store, w *World) {
	t.Helper()
	for _, customer := range append(customers(), "nobody") {
		got, err := s.Customer(t.Context(), customer)
		check(t, err)
		if diff := cmp.Diff(w.summary(customer), got); diff != "" {
			t.Errorf("customer %s: %s", customer, diff)
		}
	}
	for _, q := range w.questions() {
		got, err := s.Report(t.Context(), q)
		check(t, err)
		if diff := cmp.Diff(w.report(q), got); diff != "" {
			t.Errorf("%+v: %s", q, diff)
		}
	}
	for _, list := range lists() {
		for _, newest := range []bool{false, true} {
			if diff := cmp.Diff(w.ids(list, newest), read(t, s, list, newest)); diff != "" {
				t.Errorf("%s, newest %v: %s", list.Name(), newest, diff)
			}
		}
	}
}

// read goes through a list page by page.
func read(t *testing.T, s view.Store, list view.List, newest bool) []string {
	t.Helper()
	ids := []string{}
	q := bus.Query{List: list.Name(), Newest: newest, Limit: 7}
	for {
		page, err := s.Page(t.Context(), q)
		check(t, err)
		for _, e := range page {
			ids = append(ids, e.Key)
		}
		if len(page) < q.Limit {
			return ids
		}
		last := page[len(page)-1]
		q.After = bus.Position{Order: last.Order, Key: last.Key}
	}
}

// lists are all lists that there are, and one that is empty.
func lists() []view.List {
	var all []view.List
	for _, customer := range append(customers(), "", "nobody") {
		all = append(all, view.List{ByID: true, Customer: customer}, view.List{Customer: customer})
		for _, status := range orders.Statuses() {
			all = append(all, view.List{Customer: customer, Status: status})
		}
	}
	return all
}

func customers() []string { return []string{"ada", "bob", "c-1", "c-10", "Zoe"} }

// ids are the orders of a list in its order.
func (w *World) ids(list view.List, newest bool) []string {
	ids := []string{}
	for _, o := range w.sorted(list.ByID) {
		if (list.Customer == "" || list.Customer == o.Customer) && (list.Status == "" || list.Status == o.Status) {
			ids = append(ids, o.ID)
		}
	}
	if newest {
		slices.Reverse(ids)
	}
	return ids
}

func (w *World) sorted(byID bool) []*Order {
	list := slices.Clone(w.Orders)
	slices.SortFunc(list, func(a, b *Order) int {
		if c := a.Placed.Compare(b.Placed); c != 0 && !byID {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return list
}

// questions are what is asked of the store.
func (w *World) questions() []view.Question {
	now := w.clock.Add(time.Hour)
	all := view.Question{From: w.begin.Add(-time.Hour), Until: now, Now: now, Top: 100}
	list := []view.Question{all}
	for range 5 {
		q := all
		q.From = w.begin.Add(time.Duration(w.random.Int64N(int64(all.Until.Sub(w.begin)))))
		q.Until = q.From.Add(time.Duration(w.random.Int64N(int64(3 * view.Day))))
		q.Top = w.random.IntN(6)
		if w.random.IntN(2) == 0 {
			q.Customer = customers()[w.random.IntN(len(customers()))]
		}
		list = append(list, q)
	}
	if n := len(w.Orders); n > 0 { // bounds that are the times of orders
		q := all
		q.From, q.Until = w.Orders[n/3].Placed, w.Orders[2*n/3].Placed
		if q.From.Before(q.Until) {
			list = append(list, q)
		}
	}
	return list
}

// World is a random history of orders and what it comes to.
type World struct {
	Orders []*Order

	random   *rand.Rand
	begin    time.Time
	clock    time.Time
	sequence uint64
	rows     map[string]bus.Entry[view.Row]
}

// NewWorld begins a history that is the same for the same seed.
func NewWorld(seed uint64) *World {
	begin := time.Date(2026, 2, 26, 21, 0, 0, 123456000, time.UTC) // the end of a month is near
	return &World{
		random: rand.New(rand.NewPCG(seed, seed)), begin: begin, clock: begin, rows: map[string]bus.Entry[view.Row]{},
	}
}

// fork is another world that goes on from here in another way.
func (w *World) fork() *World {
	f := NewWorld(99)
	f.clock, f.sequence = w.clock, w.sequence
	return f
}

// changes takes so many steps and returns what they change.
func (w *World) changes(steps int) []bus.Change[view.Row] {
	var changes []bus.Change[view.Row]
	for range steps {
		id := w.step()
		entry := w.rows[id]
		change := bus.Change[view.Row]{Entry: entry, Places: view.Lists(entry.Row)}
		i := slices.IndexFunc(changes, func(c bus.Change[view.Row]) bool { return c.Key == id })
		if i < 0 {
			changes = append(changes, change)
		} else {
			changes[i] = change
		}
	}
	return changes
}

func (w *World) pick(texts ...string) string { return texts[w.random.IntN(len(texts))] }

func (w *World) newID() string {
	return fmt.Sprintf("%s%03d", w.pick("a", "A", "-", "_", "z", "o-", "0"), len(w.Orders))
}
