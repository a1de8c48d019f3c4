package flow

import (
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// freshView is how old the last sighting of ourselves may be for our view of the
// others to be believed: a watch that has stalled makes everybody look dead.
const freshView = 900 * time.Millisecond

// members is what one worker knows of the others, by its own monotonic clock. It
// belongs to one goroutine.
type members struct {
	self    string
	leases  *leases
	seen    map[string]time.Time // last beat
	leaving map[string]bool
	owners  []lease
}

// lease is what is known of a partition's key.
type lease struct {
	owner    string // "" when free
	revision uint64 // of the key, 0 when it does not exist
}

func newMembers(l *leases, self string, partitions int) *members {
	return &members{
		self: self, leases: l, seen: map[string]time.Time{}, leaving: map[string]bool{},
		owners: make([]lease, partitions),
	}
}

// observe takes one change of the bucket.
func (m *members) observe(e jetstream.KeyValueEntry, now time.Time) {
	worker, p, ok := m.leases.parseLease(e.Key())
	switch {
	case !ok:
	case worker != "" && e.Operation() == jetstream.KeyValuePut:
		m.seen[worker] = now
		m.leaving[worker] = string(e.Value()) == leaving
	case worker != "":
		delete(m.seen, worker)
		delete(m.leaving, worker)
	case p < 0 || p >= len(m.owners):
	case e.Operation() == jetstream.KeyValuePut:
		m.owners[p] = lease{owner: string(e.Value()), revision: e.Revision()}
	default:
		m.owners[p] = lease{}
	}
}

// fresh reports whether the view is young enough to judge others by it.
func (m *members) fresh(now time.Time) bool {
	return now.Sub(m.seen[m.self]) < freshView
}

// lives reports whether a worker has been seen within the lapse.
func (m *members) lives(worker string, now time.Time) bool {
	seen, ok := m.seen[worker]
	return ok && now.Sub(seen) < lapse
}

// plan says which worker should own each partition.
func (m *members) plan(now time.Time) []string {
	var workers []string
	for w := range m.seen {
		if m.lives(w, now) && !m.leaving[w] {
			workers = append(workers, w)
		}
	}
	slices.Sort(workers)
	return assign(workers, len(m.owners))
}

// claimable reports whether we may take a partition: nobody has it, or nobody who
// lives, or it is ours by name already.
func (m *members) claimable(p int, now time.Time) bool {
	owner := m.owners[p].owner
	return owner == "" || owner == m.self || !m.lives(owner, now)
}
