package judge

import (
	"cmp"
	"errors"
	"fmt"
	"hash/maphash"
	"slices"
	"strings"

	"github.com/ordermesh/ordermesh/bus/contract"
)

// history folds the commits of one stream into chains, one per entity, whatever
// their events mean.
type history struct {
	docket   *docket
	chains   map[string]*chain // by subject
	messages int
	events   []mark // every event id
	commands []mark // every command id of every message
	seed     [2]maphash.Seed
}

// chain is one entity's commits so far.
type chain struct {
	subject string
	version uint64
	last    uint64 // sequence of the subject's last message, ours or not
	snap    uint64 // sequence of the last message with state
}

// mark is an id by its hash, and where it was seen. 128 bits: two different ids do
// not meet.
type mark struct {
	hash     [2]uint64
	sequence uint64
	chain    *chain
}

// event is one event of a commit, not decoded.
type event struct {
	contract.Record
	id       string // the entity's
	subject  string
	sequence uint64
	version  uint64
}

func newHistory(d *docket, seed [2]maphash.Seed) *history {
	return &history{docket: d, chains: map[string]*chain{}, seed: seed}
}

// take checks one message's place in its entity's history and hands its events out.
// infos are the entities that the stream holds; a message of none of them is foreign.
func (h *history) take(m message, infos []contract.EventsInfo, hand func(info contract.EventsInfo, e event)) {
	h.messages++
	info, id, ok := entityOf(m.Subject, infos)
	if !ok {
		h.foreign(m, "no entity of this stream has such a subject")
		return
	}
	c := h.chains[m.Subject]
	if c == nil {
		c = &chain{subject: m.Subject}
		h.chains[m.Subject] = c
	}
	prev := c.last
	c.last = m.Sequence
	header, commit, err := decode(m)
	switch {
	case errors.Is(err, contract.ErrUnknownEvent):
		h.find(checkReadable, info, id, m, "a commit format of this version", err.Error())
		return
	case err != nil:
		h.foreign(m, err.Error())
		return
	}
	h.chain(c, info, id, m, header, prev)
	h.snapshot(c, info, id, m, header, commit.State != nil)
	h.ids(c, info, id, m, commit.Events)
	for i, r := range commit.Events {
		hand(info, event{Record: r, id: id, subject: m.Subject, sequence: m.Sequence, version: header.First + uint64(i)})
	}
}

func entityOf(subject string, infos []contract.EventsInfo) (contract.EventsInfo, string, bool) {
	for _, info := range infos {
		if id, ok := info.EntityID(subject); ok {
			return info, id, true
		}
	}
	return contract.EventsInfo{}, "", false
}

// decode reads a commit and holds its header to its body.
func decode(m message) (contract.CommitHeader, contract.Commit, error) {
	header, err := contract.ParseCommitHeader(m.Header)
	if err != nil {
		return header, contract.Commit{}, err
	}
	commit, err := contract.DecodeCommit(m.Data)
	if err == nil && header.Last-header.First+1 != uint64(len(commit.Events)) {
		err = fmt.Errorf("%w: %d events under the versions %d-%d", contract.ErrNotCommit, len(commit.Events), header.First, header.Last)
	}
	return header, commit, err
}

// chain holds a commit to the one before it.
func (h *history) chain(c *chain, info contract.EventsInfo, id string, m message, header contract.CommitHeader, prev uint64) {
	switch want := c.version + 1; {
	case header.First > want:
		h.find(checkVersions, info, id, m, "version "+number(want)+" next", fmt.Sprintf("version %d: a gap", header.First))
	case header.First < want:
		h.find(checkVersions, info, id, m, "version "+number(want)+" next", fmt.Sprintf("version %d again: a fork", header.First))
	}
	c.version = header.Last
	if header.Prev != prev {
		h.find(checkVersions, info, id, m, contract.HeaderPrev+" "+number(prev), number(header.Prev))
	}
}

// snapshot holds the header that leads to the last folded state to the truth: a
// wrong one makes an entity load from the wrong state.
func (h *history) snapshot(c *chain, info contract.EventsInfo, id string, m message, header contract.CommitHeader, carries bool) {
	want, text := c.snap, number(c.snap)
	if carries {
		c.snap = m.Sequence
		want, text = contract.SnapSelf, "self"
	}
	if header.Snap != want {
		is := number(header.Snap)
		if header.Snap == contract.SnapSelf {
			is = "self"
		}
		h.find(checkVersions, info, id, m, contract.HeaderSnap+" "+text, is)
	}
}

// ids notes the ids of a commit, and finds a command whose events are not together.
func (h *history) ids(c *chain, info contract.EventsInfo, id string, m message, events []contract.Record) {
	for i, r := range events {
		if r.ID == "" {
			h.find(checkEventIDs, info, id, m, "an event id", "none")
		} else {
			h.events = append(h.events, h.mark(c, m.Sequence, r.ID))
		}
		if r.Command == "" || (i > 0 && events[i-1].Command == r.Command) {
			continue
		}
		if slices.ContainsFunc(events[:i], func(e contract.Record) bool { return e.Command == r.Command }) {
			h.find(checkCommands, info, id, m, "command "+r.Command+" once", "its events are in two places of one commit")
			continue
		}
		h.commands = append(h.commands, h.mark(c, m.Sequence, c.subject+"\x00"+r.Command))
	}
}

func (h *history) mark(c *chain, sequence uint64, id string) mark {
	return mark{hash: [2]uint64{maphash.String(h.seed[0], id), maphash.String(h.seed[1], id)}, sequence: sequence, chain: c}
}

func (h *history) foreign(m message, why string) {
	h.docket.note(Note{Kind: "foreign message", Subject: m.Subject, Sequence: m.Sequence, Text: why})
}

func (h *history) find(check string, info contract.EventsInfo, id string, m message, expected, is string) {
	h.docket.find(check, Finding{Entity: info.Entity + " " + id, Subject: m.Subject, Sequence: m.Sequence, Expected: expected, Is: is})
}

// unique holds the marks of all histories to being different.
func unique(d *docket, check, what string, lists ...[]mark) {
	all := slices.Concat(lists...)
	d.looked(check, len(all))
	slices.SortFunc(all, func(a, b mark) int {
		return cmp.Or(cmp.Compare(a.hash[0], b.hash[0]), cmp.Compare(a.hash[1], b.hash[1]), cmp.Compare(a.sequence, b.sequence))
	})
	for i := 1; i < len(all); i++ {
		a, b := all[i-1], all[i]
		if a.hash != b.hash {
			continue
		}
		where := "message " + number(a.sequence)
		if a.chain != b.chain {
			where += " of " + a.chain.subject
		}
		d.find(check, Finding{
			Entity: entityName(b.chain.subject), Subject: b.chain.subject, Sequence: b.sequence,
			Expected: what + " that is new", Is: "that of " + where,
		})
	}
}

// entityName turns evt.order.x into "order x".
func entityName(subject string) string {
	t := strings.SplitN(subject, ".", 3)
	if len(t) != 3 {
		return subject
	}
	return t[1] + " " + t[2]
}
