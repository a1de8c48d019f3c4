package eventstore

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/telemetry"
)

const (
	maxGroupBytes   = 256 << 10 // a group takes no further command beyond this
	maxActorBytes   = 16 << 10  // nor beyond this; NATS takes 64 KiB of headers
	maxCommandBytes = 640 << 10 // events of one command
	maxCommitBytes  = 900 << 10 // with state; NATS takes 1 MiB with headers
	smallState      = 512       // bytes of state and commands that ride along with every message
	snapEvery       = 32        // messages from one state to the next at most

	// HeaderActors stands in for Mesh-Actor when a commit holds commands of several
	// actors: values "<number of events> <actor as in Mesh-Actor>", in order. See
	// [Actors].
	HeaderActors = "Mesh-Actors"
)

// draft is what a group of commands would append. A copy of it is a point to which
// it can be taken back.
type draft[S any] struct {
	subject  string
	state    S
	version  uint64
	commands int
	at       []byte // time of the commit
	body     []byte // of the message, as contract.EncodeCommit would write it
	actors   []causedBy
	trace    string
	window   window
	withSnap bool

	actorBytes int
}

// causedBy says that so many events in a row have the same actor.
type causedBy struct {
	events int
	actor  string
}

func (d *draft[S]) caused(actor string, events int) {
	if n := len(d.actors); n > 0 && d.actors[n-1].actor == actor {
		d.actors[n-1].events += events
		return
	}
	d.actors = append(d.actors, causedBy{events, actor})
	d.actorBytes += len(actor) + 8
}

func newDraft[S, C any](s *slot[S, C]) *draft[S] {
	return &draft[S]{subject: s.subject, state: s.image.state, version: s.image.version}
}

// record appends one event to the body.
func (d *draft[S]) record(id, name, command string, data []byte) {
	if d.body == nil {
		d.body = append(make([]byte, 0, 512+len(data)), `{"v":`+commitVersion+`,"events":[`...)
		d.at = time.Now().UTC().AppendFormat(make([]byte, 0, 32), time.RFC3339Nano)
	} else {
		d.body = append(d.body, ',')
	}
	b := d.body
	b = append(b, `{"id":"`...)
	b = append(append(b, id...), `","type":`...)
	b = append(quote(b, name), `,"command":`...)
	b = append(quote(b, command), `,"at":"`...)
	b = append(append(b, d.at...), `","data":`...)
	d.body = append(append(b, data...), '}')
}

var commitVersion = strconv.Itoa(contract.CommitVersion)

// quote appends s as a JSON string. Texts are valid UTF-8 here.
func quote(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c == '"' || c == '\\' {
			quoted, err := contract.Marshal(s)
			if err != nil {
				return append(b, `""`...)
			}
			return append(b, quoted...)
		}
	}
	return append(append(append(b, '"'), s...), '"')
}

// finish ends the body, with the state when it is small or due.
func (e *Entity[S, C, E]) finish(d *draft[S], s *slot[S, C]) {
	d.body = append(d.body, ']')
	mark := len(d.body)
	due := s.image.since >= snapEvery-1
	if due || !s.large && fit(s.image.window.recent(), d.window.recent()) {
		e.appendState(d, recent(&s.image.window, &d.window))
		size := len(d.body) - mark
		s.large = size > smallState
		if d.withSnap = size > 0 && (due || !s.large) && len(d.body) <= maxCommitBytes; !d.withSnap {
			d.body = d.body[:mark]
		}
	}
	d.body = append(d.body, '}')
}

func (e *Entity[S, C, E]) appendState(d *draft[S], commands []windowEntry) {
	data, err := contract.Marshal(d.state)
	if err != nil {
		e.tel.Logger.Error("a state cannot be stored; loading reads all events instead",
			telemetry.KeySubject, d.subject, telemetry.KeyError, err.Error())
		return
	}
	b := d.body
	b = append(b, `,"state":{"schema":`...)
	b = strconv.AppendInt(b, int64(e.schema), 10)
	for i, c := range commands {
		if i == 0 {
			b = append(b, `,"commands":[`...)
		} else {
			b = append(b, ',')
		}
		b = quote(b, string(c.append(nil)))
	}
	if len(commands) > 0 {
		b = append(b, ']')
	}
	d.body = append(append(append(b, `,"data":`...), data...), '}')
}

// recent is the last commands of two windows, the older one first.
func recent(old, young *window) []windowEntry {
	y := young.recent()
	o := old.recent()
	return slices.Concat(o[max(0, len(o)+len(y)-windowSize):], y)
}

// fit reports whether the commands are few enough to ride along with every message.
func fit(windows ...[]windowEntry) bool {
	size := 0
	for _, commands := range windows {
		for _, c := range commands {
			if size += len(c.id) + 5; size > smallState {
				return false
			}
		}
	}
	return true
}

// header returns the headers of the draft's message.
func (d *draft[S]) header(from *image[S]) nats.Header {
	h := make(nats.Header, 8)
	snap := from.snap
	if d.withSnap {
		snap = contract.SnapSelf
	}
	contract.CommitHeader{First: from.version + 1, Last: d.version, Prev: from.sequence, Snap: snap}.SetTo(h.Set)
	switch {
	case len(d.actors) > 1:
		for _, by := range d.actors {
			h.Add(HeaderActors, strconv.Itoa(by.events)+" "+by.actor)
		}
	case d.actors[0].actor != "":
		h.Set(contract.HeaderActor, d.actors[0].actor)
	}
	if d.trace != "" {
		h.Set(contract.HeaderTrace, d.trace)
	}
	return h
}

var idEncoding = base32.HexEncoding.WithPadding(base32.NoPadding)

// eventID is unique for an entity, a command and the event's place in it.
func eventID(subject, command string, index int) string {
	b := make([]byte, 0, 256)
	b = append(append(append(b, subject...), 0), command...)
	b = binary.BigEndian.AppendUint32(append(b, 0), uint32(index)) //nolint:gosec // a commit holds far fewer events
	sum := sha256.Sum256(b)
	return idEncoding.EncodeToString(sum[:16])
}

// randomID stands in for the id of a command that has none; no given id looks like
// it, as it is not printable.
func randomID() string {
	var b [17]byte
	_, _ = rand.Read(b[1:]) // never fails
	return string(b[:])
}
