package event

import (
	"time"

	"github.com/nats-io/nats.go"

	"github.com/ordermesh/ordermesh/bus/contract"
)

// delivery is one message that this process holds: waiting, running or, in an
// ordered consumer, pausing before a retry. Its fields belong to the goroutine that
// works on it, except where said otherwise.
type delivery struct {
	msg      *nats.Msg
	reply    string // where to acknowledge; guarded by core.mu, a redelivery replaces it
	sequence uint64
	attempt  int    // deliveries by the server, this one included
	stored   int64  // unix nanoseconds
	entity   string // entity id; set for ordered consumers
	previous uint64 // sequence of the entity's previous message; set for ordered consumers
	tick     int64  // heartbeat generation of the last sign of life; guarded by core.mu

	next     int // the first event of the commit that is not handled yet
	failures int // of that event in this process

	answer func(verdict) // of a replayed dead letter: where the outcome goes
	only   bool          // of a replay: handle the event at next alone
	timer  *time.Timer   // ordered: a retry that waits; guarded by core.mu
}

// place fills in what ordering needs. A message that is not a commit has neither
// entity nor predecessor and is ordered after nothing.
func (d *delivery) place(info contract.EventsInfo) {
	id, ok := info.EntityID(d.msg.Subject)
	if !ok {
		return
	}
	d.entity = id
	if h, err := contract.ParseCommitHeader(d.msg.Header); err == nil {
		d.previous = h.Prev
	}
}
