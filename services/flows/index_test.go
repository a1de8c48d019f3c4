package flows

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ordermesh/ordermesh/bus/flow"
	"github.com/ordermesh/ordermesh/contracts/flows"
)

func at(ms int) time.Time { return time.UnixMilli(int64(ms)) }

func seen(service, name, id string, status flow.Status, started, updated int) flow.Glimpse {
	return flow.Glimpse{Service: service, Flow: name, ID: id, Version: 1, Status: status, Started: at(started), Updated: at(updated)}
}

// model is the list kept the plain way.
type model map[string]flow.Glimpse

func (m model) page(q query) (ids []string) {
	var all []flow.Glimpse
	for _, g := range m {
		if (q.service == "" || q.service == g.Service) && (q.flow == "" || q.flow == g.Flow) && (q.status == "" || string(q.status) == string(g.Status)) &&
			(q.from.IsZero() || !g.Started.Before(q.from)) && (q.to.IsZero() || g.Started.Before(q.to)) {
			all = append(all, g)
		}
	}
	name := func(g flow.Glimpse) string { return g.Service + "/" + g.Flow + "/" + g.ID }
	slices.SortFunc(all, func(a, b flow.Glimpse) int {
		if c := b.Started.Compare(a.Started); c != 0 {
			return c
		}
		if name(a) > name(b) {
			return -1
		}
		return 1
	})
	for _, g := range all {
		ids = append(ids, name(g))
	}
	return ids
}

// pages goes through the index page by page.
func pages(t *testing.T, x *index, q query, limit int) (ids []string) {
	t.Helper()
	q.limit = limit
	for {
		list, more, _ := x.page(q)
		if len(list) > limit || (more && len(list) < limit) {
			t.Fatalf("%d rows on a page of %d, more: %v", len(list), limit, more)
		}
		for _, f := range list {
			ids = append(ids, f.Service+"/"+f.Flow+"/"+f.ID)
		}
		if !more {
			return ids
		}
		last := list[len(list)-1]
		q.after = position{last.StartedAt.UnixMilli(), last.Service + "/" + last.Flow + "/" + last.ID}
	}
}

// TestIndexAgreesWithAPlainList folds random lives of flows and compares every filter.
func TestIndexAgreesWithAPlainList(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	statuses := []flow.Status{flow.Pending, flow.Running, flow.Waiting, flow.Compensating, flow.Stuck, flow.Completed, flow.Failed, flow.Cancelled}
	x, m := newIndex(1_000_000), model{}
	for i := range 6000 {
		service, name := []string{"orders", "stock"}[random.IntN(2)], []string{"a", "b", "c"}[random.IntN(3)]
		id := fmt.Sprint(random.IntN(1500))
		key := service + "/" + name + "/" + id
		g := seen(service, name, id, statuses[random.IntN(len(statuses))], 1000+len(id)*random.IntN(2)+i/4, i)
		if old, ok := m[key]; ok {
			if g.Started = old.Started; g.Status == flow.Pending {
				x.take([]flow.Glimpse{g})
				continue
			}
		}
		m[key] = g
		x.take([]flow.Glimpse{g})
	}
	for _, service := range []string{"", "orders", "nobody"} {
		for _, name := range []string{"", "b"} {
			for _, status := range append([]flows.Status{""}, flows.Statuses()...) {
				for _, bounds := range [][2]time.Time{{}, {at(1500), {}}, {{}, at(1700)}, {at(1500), at(1700)}, {at(1700), at(1500)}} {
					q := query{service: service, flow: name, status: status, from: bounds[0], to: bounds[1]}
					if diff := cmp.Diff(m.page(q), pages(t, x, q, 1+random.IntN(200))); diff != "" {
						t.Fatalf("%+v: %s", q, diff)
					}
				}
			}
		}
	}
}

// TestIndexForgetsWhatEndedFirst: the memory is bounded, what has not ended stays.
func TestIndexForgetsWhatEndedFirst(t *testing.T) {
	t.Parallel()
	const keep, ended = 10, 1000
	x := newIndex(keep)
	for i := range ended {
		id := fmt.Sprint(i)
		x.take([]flow.Glimpse{seen("s", "f", id, flow.Running, i, i), seen("s", "f", id, flow.Completed, i, i+1)})
		if i%100 == 0 {
			x.take([]flow.Glimpse{seen("s", "open", id, flow.Stuck, i, i)})
		}
	}
	list, _, forgotten := x.page(query{limit: 2 * ended})
	if len(list) != keep+ended/100 || forgotten != ended-keep || len(x.rows[kind{"s", "f"}]) != keep || len(x.ended) > 3*keep {
		t.Errorf("%d rows are left and %d forgotten; %d in memory, %d in the queue", len(list), forgotten, len(x.rows[kind{"s", "f"}]), len(x.ended))
	}
	if list[0].ID != "999" || list[keep-1].ID != "990" {
		t.Errorf("%s to %s are left", list[0].ID, list[keep-1].ID)
	}
	// What was condensed is not listed, and its place in the queue is nobody's.
	condensed := seen("s", "f", "999", flow.Completed, 999, 5000)
	condensed.Condensed = true
	unknown := condensed
	unknown.ID = "0"
	x.take([]flow.Glimpse{condensed, unknown, seen("s", "f", "999", flow.Running, 6000, 6000)})
	for i := range keep {
		x.take([]flow.Glimpse{seen("s", "f", fmt.Sprint("new", i), flow.Completed, 5000+i, 5000+i)})
	}
	list, _, forgotten = x.page(query{flow: "f", limit: 2 * ended})
	if len(list) != keep+1 || list[0].ID != "999" || list[0].Status != flows.Running || forgotten != ended-1 {
		t.Errorf("%d rows are left and %d forgotten: %+v", len(list), forgotten, list[0])
	}
	x.clear()
	if list, _, forgotten := x.page(query{limit: 1}); len(list) != 0 || forgotten != 0 {
		t.Errorf("after the stream was replaced: %v, %d", list, forgotten)
	}
}

// TestAStartDoesNotHideAJournal: inputs that are stored late say nothing new.
func TestAStartDoesNotHideAJournal(t *testing.T) {
	t.Parallel()
	x := newIndex(10)
	x.take([]flow.Glimpse{seen("s", "f", "1", flow.Running, 5, 6), seen("s", "f", "1", flow.Pending, 7, 7)})
	if list, _, _ := x.page(query{limit: 2}); len(list) != 1 || list[0].Status != flows.Running || !list[0].StartedAt.Equal(at(5)) {
		t.Errorf("%+v", list)
	}
}
