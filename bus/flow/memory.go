package flow

import (
	"slices"
	"time"

	"github.com/ordermesh/ordermesh/bus/contract"
)

// memory is how an instance recognises inputs that it has taken in: by their ids, for
// whoever sends one twice, and by their places in the stream, because the server
// delivers acknowledged inputs again when a partition changes hands.
type memory struct {
	seen   []string  // the ids of the last ones
	places []uint64  // where each of them is in the stream
	past   uint64    // letters up to here were taken in, though their ids may be forgotten
	late   []uint64  // but for these: they were handed back
	young  time.Time // until then no id is forgotten: letters that were handed back come late
}

// remembered is how many ids of inputs an instance remembers: one that is sent again
// after as many others counts as a new one.
const remembered = 128

// mostRemembered bounds the ids while none is to be forgotten.
const mostRemembered = 8 * remembered

// note remembers an input besides so many letters in the mail and reports whether it is new.
func (m *memory) note(id string, place uint64, mail int) bool {
	if id == "" || slices.Contains(m.seen, id) {
		return false
	}
	if n := len(m.seen); n >= mostRemembered || (n >= remembered+mail && !time.Now().Before(m.young)) {
		m.past = max(m.past, m.places[0])
		m.seen, m.places = slices.Delete(m.seen, 0, 1), slices.Delete(m.places, 0, 1)
	}
	m.seen, m.places = append(m.seen, id), append(m.places, place)
	return true
}

// knows reports whether a letter was taken in before.
func (m *memory) knows(l letter) bool {
	return slices.Contains(m.seen, l.ID) || (l.Seq <= m.past && !slices.Contains(m.late, l.Seq))
}

// refuse remembers that a letter was handed back and reports whether that is new.
func (m *memory) refuse(l letter) bool {
	if slices.Contains(m.late, l.Seq) {
		return false
	}
	m.late = append(m.late, l.Seq)
	return true
}

// accept forgets that a letter was handed back.
func (m *memory) accept(l letter) {
	m.late = slices.DeleteFunc(m.late, func(place uint64) bool { return place == l.Seq })
}

// appendMemory encodes the memory.
func (m *memory) appendMemory(b []byte) []byte {
	b = appendStrings(b, "seen", m.seen)
	b = appendSequences(b, "places", m.places)
	b = appendNumber(b, "past", int64(m.past)) //nolint:gosec // a sequence
	return appendSequences(b, "late", m.late)
}

// memory is what the journal remembers.
func (p *page) memory() memory {
	m := memory{seen: p.Seen, places: p.Places, past: p.Past, late: p.Late}
	for len(m.places) < len(m.seen) { // an older build wrote it
		m.places = append(m.places, 0)
	}
	if p.Status == Stuck {
		m.young = time.Now().Add(contract.FlowAckWait)
	}
	return m
}

// take notes an input whose effect is in the journal.
func (j *journal) take(h *input) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.note(h.inputID, h.sequence, len(j.mail)) {
		j.version++
	}
}

// took reports whether the id of an input is noted.
func (j *journal) took(id string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Contains(j.seen, id)
}
