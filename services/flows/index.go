package flows

import (
	"strings"
	"sync"
	"time"

	"github.com/ordermesh/ordermesh/bus/flow"
	"github.com/ordermesh/ordermesh/contracts/flows"
)

// row is what the list knows of one instance.
type row struct {
	shelf            *shelf
	id               string
	version          int
	started, updated int64 // Unix milliseconds
	reason           string
}

// kind is a flow of a service.
type kind struct{ service, flow string }

// shelf holds the instances of one kind with one status.
type shelf struct {
	kind
	status flows.Status
	rows   sorted
}

// place says on which shelf an instance is.
type place struct {
	kind
	status flows.Status
}

// index is the view behind the list. Rows are found by id when something happens to
// them, and in the order of their start when they are listed. Its memory is bounded by
// the flows that have not ended and those ended ones that it keeps. An ended flow is
// listed as long as its journal is there: afterwards only get knows how it ended.
type index struct {
	keep int

	mu        sync.RWMutex
	rows      map[kind]map[string]*row
	shelves   map[place]*shelf
	ended     []*row // in the order in which they ended, from head on
	head      int
	forgotten uint64
}

func newIndex(keep int) *index {
	x := &index{keep: keep}
	x.clear()
	return x
}

// clear forgets everything.
func (x *index) clear() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.rows, x.shelves = map[kind]map[string]*row{}, map[place]*shelf{}
	x.ended, x.head, x.forgotten = nil, 0, 0
}

// take folds what a follower tells.
func (x *index) take(batch []flow.Glimpse) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for i := range batch {
		x.fold(&batch[i])
	}
}

func (x *index) fold(g *flow.Glimpse) {
	k := kind{g.Service, g.Flow}
	r := x.rows[k][g.ID]
	status := flows.Status(g.Status)
	if r != nil && status == flows.Pending {
		return // its journal says more than its start
	}
	if g.Condensed {
		if r != nil {
			x.drop(r)
		}
		return
	}
	at := x.shelf(place{k, status})
	if r == nil {
		r = &row{id: strings.Clone(g.ID), started: g.Started.UnixMilli()}
		x.add(at.kind, r)
	}
	if r.shelf != at || r.started != g.Started.UnixMilli() {
		x.move(r, at, g.Started.UnixMilli())
	}
	r.version, r.updated, r.reason = g.Version, g.Updated.UnixMilli(), brief(g.Reason)
}

// brief is a copy of a reason that is no longer than a line or two.
func brief(reason string) string {
	const most = 300
	if len(reason) > most {
		reason = strings.ToValidUTF8(reason[:most], "") + "…"
	}
	return strings.Clone(reason)
}

// shelf finds a shelf or puts up a new one. Its names are copies: those of a glimpse
// are parts of a whole message.
func (x *index) shelf(p place) *shelf {
	if at := x.shelves[p]; at != nil {
		return at
	}
	p = place{kind{strings.Clone(p.service), strings.Clone(p.flow)}, flows.Status(strings.Clone(string(p.status)))}
	at := &shelf{kind: p.kind, status: p.status}
	x.shelves[p] = at
	return at
}

func (x *index) add(k kind, r *row) {
	if x.rows[k] == nil {
		x.rows[k] = map[string]*row{}
	}
	x.rows[k][r.id] = r
}

// move puts a row on another shelf, or in another place of its own.
func (x *index) move(r *row, at *shelf, started int64) {
	had := r.shelf != nil && r.shelf.status.Ended()
	if r.shelf != nil {
		r.shelf.rows.remove(r)
	}
	r.shelf, r.started = at, started
	at.rows.add(r)
	if at.status.Ended() && !had {
		x.ended = append(x.ended, r)
		x.forget()
	}
}

func (x *index) drop(r *row) {
	r.shelf.rows.remove(r)
	delete(x.rows[r.shelf.kind], r.id)
}

// forget drops those that ended first when there are too many.
func (x *index) forget() {
	for len(x.ended)-x.head > x.keep {
		r := x.ended[x.head]
		x.ended[x.head] = nil
		x.head++
		if !r.shelf.status.Ended() || x.rows[r.shelf.kind][r.id] != r {
			continue // it went on under the same id, or was condensed
		}
		x.drop(r)
		x.forgotten++
	}
	if x.head > x.keep {
		x.ended = append([]*row(nil), x.ended[x.head:]...)
		x.head = 0
	}
}

// query selects rows. A zero time is no bound.
type query struct {
	service, flow string
	status        flows.Status
	from, to      time.Time // of the start: from is included, to is not
	after         position  // the page's rows come behind this one
	limit         int
}

func (q *query) wants(s *shelf) bool {
	return (q.service == "" || q.service == s.service) && (q.flow == "" || q.flow == s.flow) && (q.status == "" || q.status == s.status)
}

// page returns the rows that match, those that started last first, and whether more
// follow. It looks at the rows of the page and one of each shelf.
func (x *index) page(q query) (list []flows.Instance, more bool, forgotten uint64) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	start := q.after
	if to := (position{started: q.to.UnixMilli()}); !q.to.IsZero() && (start.isZero() || to.before(start)) {
		start = to
	}
	var stacks []*stack
	for _, s := range x.shelves {
		if q.wants(s) {
			stacks = append(stacks, s.rows.below(start))
		}
	}
	for {
		r := newest(stacks)
		if r == nil || (!q.from.IsZero() && r.started < q.from.UnixMilli()) {
			return list, false, x.forgotten
		}
		if len(list) == q.limit {
			return list, true, x.forgotten
		}
		list = append(list, r.instance())
	}
}

// newest takes the row that started last from the top of one of the stacks.
func newest(stacks []*stack) *row {
	var best *stack
	for _, s := range stacks {
		if s.top() != nil && (best == nil || best.top().position().before(s.top().position())) {
			best = s
		}
	}
	if best == nil {
		return nil
	}
	return best.pop()
}

func (r *row) instance() flows.Instance {
	return flows.Instance{
		Service: r.shelf.service, Flow: r.shelf.flow, ID: r.id, Version: r.version, Status: r.shelf.status, Reason: r.reason,
		StartedAt: time.UnixMilli(r.started).UTC(), UpdatedAt: time.UnixMilli(r.updated).UTC(),
	}
}
