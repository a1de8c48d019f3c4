package event

import (
	"strings"
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

// position reads what the server says about a delivery in the ack subject:
//
//	$JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<time>.<pending>
//	$JS.ACK.<domain>.<account>.<stream>.<consumer>.<delivered>.….<pending>[.<token>]
func position(reply string) (d delivery, pending uint64, ok bool) {
	const v1, v2 = 9, 11
	rest, found := strings.CutPrefix(reply, "$JS.ACK.")
	if !found {
		return d, 0, false
	}
	skip := 2
	if n := strings.Count(reply, ".") + 1; n >= v2 {
		skip = 4
	} else if n != v1 {
		return d, 0, false
	}
	for range skip {
		_, rest, _ = strings.Cut(rest, ".")
	}
	var numbers [5]uint64
	for i := range numbers {
		var token string
		token, rest, _ = strings.Cut(rest, ".")
		if numbers[i], ok = parseUint(token); !ok {
			return d, 0, false
		}
	}
	d.reply, d.attempt, d.sequence, d.stored = reply, int(numbers[0]), numbers[1], int64(numbers[3]) //nolint:gosec // written by the server
	return d, numbers[4], true
}

func parseUint(s string) (uint64, bool) {
	if s == "" || len(s) > 19 {
		return 0, false
	}
	var n uint64
	for i := range len(s) {
		c := s[i] - '0'
		if c > 9 {
			return 0, false
		}
		n = n*10 + uint64(c)
	}
	return n, true
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
