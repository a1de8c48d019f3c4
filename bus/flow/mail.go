package flow

import (
	"slices"
	"strconv"

	"github.com/ordermesh/ordermesh/bus/contract"
)

// letter is an input that the function has to ask for: a signal, or the outcome of a
// child flow. The journal keeps where it is and not what it says; the inbox has that.
type letter struct {
	ID   string `json:"id"`   // of the input
	Name string `json:"name"` // what the function asks for
	Seq  uint64 `json:"seq"`  // of the input in the stream

	body []byte // when the input was taken in by this process
}

// letter is the input as the mail keeps it.
func (in *input) letter() letter {
	l := letter{ID: in.inputID, Name: in.signal, Seq: in.sequence}
	if in.ref == "" {
		l.body = in.body
	}
	return l
}

// maxMail is how many letters an instance keeps that nobody has asked for. More are
// handed back to the server, which brings them again.
const maxMail = 256

// post keeps a letter. full means that there is no room; a letter that was taken in
// before is not kept twice. For what the function waits for there is always room:
// letters that nobody asks for cannot keep it from going on.
func (j *journal) post(l letter) (full bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.knows(l) {
		return false
	}
	if len(j.mail) >= maxMail && (l.Name != j.wish || j.has(l.Name)) {
		if j.refuse(l) {
			j.version++
		}
		return true
	}
	j.version++
	j.accept(l)
	if j.note(l.ID, l.Seq, len(j.mail)) && !j.outdated(l) {
		j.mail = append(j.mail, l)
	}
	return false
}

// has reports whether there is a letter with the name; j.mu is held.
func (j *journal) has(name string) bool {
	return slices.ContainsFunc(j.mail, func(l letter) bool { return l.Name == name })
}

// find returns the oldest letter with the name, and notes that it is wanted.
func (j *journal) find(name string) (letter, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.wish = name
	for _, l := range j.mail {
		if l.Name == name {
			return l, true
		}
	}
	return letter{}, false
}

// discard throws a letter away that cannot be used.
func (j *journal) discard(l letter) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.tear(l)
	j.touch()
}

// addFrom adds the record of an operation that took a letter: no message has one
// without the other.
func (j *journal) addFrom(l letter, r *record) uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.tear(l)
	return j.addLocked(r, &l)
}

// kept is the mail as the next message has it: with the letters whose records have to
// wait for a later one; j.mu is held.
func (j *journal) kept() []letter {
	var kept []letter
	for _, s := range j.ends {
		if s.took != nil {
			kept = append(kept, *s.took)
		}
	}
	if kept == nil {
		return j.mail
	}
	return append(kept, j.mail...)
}

// tear takes a letter out of the mail; j.mu is held.
func (j *journal) tear(l letter) {
	j.mail = slices.DeleteFunc(j.mail, func(other letter) bool { return other.ID == l.ID })
}

// wish is the name of the letter that the function waits for.
func (p *page) wish() string {
	switch {
	case p.Open == nil:
		return ""
	case p.Open.Kind == kindOutcome:
		return outcomePrefix + p.Open.Name + generation(p.Gen)
	}
	return p.Open.Name
}

func appendMail(b []byte, mail []letter) []byte {
	if len(mail) == 0 {
		return b
	}
	b = append(appendName(b, "mail"), '[')
	for i, l := range mail {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"id":`...)
		b = appendString(b, l.ID)
		b = appendMember(b, "name", l.Name)
		b = strconv.AppendUint(appendName(b, "seq"), l.Seq, 10)
		b = append(b, '}')
	}
	return append(b, ']')
}

// Report tells how far the flow has come, for people who look at it ([State.Report]).
// Each report replaces the one before; it is stored with the next journal message, and
// a replay reports nothing. v is written as JSON, at most 4 KiB.
func (r *Run) Report(v any) {
	in := r.inst
	r.outside("report")
	raw, err := encode(v)
	if err != nil || len(raw) > maxReport {
		in.park("a report cannot be journaled: it is no JSON of at most 4 KiB")
	}
	if r.next < len(in.history) {
		return
	}
	in.j.mu.Lock()
	defer in.j.mu.Unlock()
	if string(in.j.report) != string(raw) {
		in.j.report = contract.Raw(raw)
		in.j.touch()
	}
}

const maxReport = 4 << 10
