package pull

import "strings"

// Position is what the server says about a delivery in its ack subject.
type Position struct {
	Attempt  int    // deliveries of this message, this one included
	Sequence uint64 // in the stream
	Delivery uint64 // in the consumer: counts deliveries
	Stored   int64  // unix nanoseconds
	Pending  uint64 // messages that the consumer has still to deliver; 0 when that cannot be read
}

// ParsePosition reads an ack subject, in the form of today or of tomorrow:
//
//	$JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<time>.<pending>
//	$JS.ACK.<domain>.<account>.<stream>.<consumer>.<delivered>.….<pending>[.<token>]
func ParsePosition(reply string) (p Position, ok bool) {
	const v1, v2 = 9, 11
	rest, found := strings.CutPrefix(reply, "$JS.ACK.")
	if !found {
		return p, false
	}
	skip := 2
	if n := strings.Count(reply, ".") + 1; n >= v2 {
		skip = 4
	} else if n != v1 {
		return p, false
	}
	for range skip {
		_, rest, _ = strings.Cut(rest, ".")
	}
	var n [5]uint64
	for i := range n {
		var token string
		token, rest, _ = strings.Cut(rest, ".")
		if n[i], ok = parseUint(token); !ok && i < 4 {
			return p, false
		}
	} // a pending count that makes no sense is no reason to lose the message
	return Position{Attempt: int(n[0]), Sequence: n[1], Delivery: n[2], Stored: int64(n[3]), Pending: n[4]}, true //nolint:gosec // at most 19 digits, written by the server
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
