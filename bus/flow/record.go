package flow

import (
	"fmt"
	"strconv"

	"github.com/ordermesh/ordermesh/bus/contract"
)

// kind says what a record of the journal stands for. Kinds are stored: they are
// never renamed; a build that meets a kind it does not know hands the flow back instead
// of guessing.
type kind string

const (
	kindStep    kind = "step"    // the result of a step: a value or a terminal error
	kindUndo    kind = "undo"    // a compensation that was carried out
	kindNow     kind = "now"     // a clock reading
	kindCancel  kind = "cancel"  // where the cancel, or the deadline, was observed
	kindTimer   kind = "timer"   // a time that was waited for
	kindSignal  kind = "signal"  // a signal that was taken, or waited for in vain
	kindChild   kind = "child"   // a child flow that was started
	kindOutcome kind = "outcome" // how a child flow ended
	kindBranch  kind = "branch"  // the outcome of one of several parallel steps
	kindRace    kind = "race"    // the winner of several parallel steps
	kindAll     kind = "all"     // never closed: parallel steps under way, whose outcomes are branches
)

// known reports whether this build can replay records of the kind.
func (k kind) known() bool {
	switch k {
	case kindStep, kindUndo, kindNow, kindCancel, kindTimer, kindSignal, kindChild, kindOutcome, kindBranch, kindRace, kindAll:
		return true
	}
	return false
}

// waits reports whether an operation of this kind is a wait, and not work that is tried
// again.
func (k kind) waits() bool { return k == kindTimer || k == kindSignal || k == kindOutcome }

// cancellable reports whether a cancel takes hold at operations of this kind.
func (k kind) cancellable() bool { return k != kindUndo && k != kindNow }

// How a record's operation ended, where there is more than one way.
const (
	outcomeTimedOut = "timed_out" // a signal did not come in time
	outcomeDeadline = "deadline"  // not a person but the flow's deadline cancelled it
)

// record is one entry of a journal. Its index is its place in the flow's order of
// operations; a replay compares index, kind, name and input hash.
type record struct {
	Index   int          `json:"i"`
	Kind    kind         `json:"kind"`
	Name    string       `json:"name,omitzero"`
	Hash    string       `json:"hash,omitzero"`    // of the step's declared input
	At      int64        `json:"at,omitzero"`      // Unix milliseconds, for people
	Tries   int          `json:"tries,omitzero"`   // attempts so far
	Out     contract.Raw `json:"out,omitzero"`     // the step's result
	Ref     string       `json:"ref,omitzero"`     // or, of a large result, its name in the object store
	Err     contract.Raw `json:"err,omitzero"`     // or its terminal error
	Last    string       `json:"last,omitzero"`    // text of the last attempt's error
	Due     int64        `json:"due,omitzero"`     // open: when the next attempt is due or the wait is over, Unix milliseconds
	Intent  bool         `json:"intent,omitzero"`  // open: a step that must not repeat was about to run
	Outcome string       `json:"outcome,omitzero"` // how it ended, where there is more than one way

	Branches []record `json:"branches,omitzero"` // open: the parallel steps whose attempts left a trace
}

// append encodes the record.
func (r *record) append(b []byte) []byte {
	b = append(b, `{"i":`...)
	b = strconv.AppendInt(b, int64(r.Index), 10)
	b = append(b, `,"kind":`...)
	b = appendString(b, string(r.Kind))
	b = appendMember(b, "name", r.Name)
	b = appendMember(b, "hash", r.Hash)
	b = appendNumber(b, "at", r.At)
	b = appendNumber(b, "tries", int64(r.Tries))
	b = appendRaw(b, "out", r.Out)
	b = appendMember(b, "ref", r.Ref)
	b = appendRaw(b, "err", r.Err)
	b = appendMember(b, "last", r.Last)
	b = appendNumber(b, "due", r.Due)
	if r.Intent {
		b = append(b, `,"intent":true`...)
	}
	b = appendMember(b, "outcome", r.Outcome)
	for i := range r.Branches {
		if i == 0 {
			b = append(appendName(b, "branches"), '[')
		} else {
			b = append(b, ',')
		}
		b = r.Branches[i].append(b)
		if i == len(r.Branches)-1 {
			b = append(b, ']')
		}
	}
	return append(b, '}')
}

// differs names both sides when the replayed function does something else than the
// journal says, and returns "" when they agree.
func (r *record) differs(k kind, name, hash string) string {
	if r.Kind == k && r.Name == name && r.Hash == hash {
		return ""
	}
	return fmt.Sprintf("at index %d the journal has %s, the code does %s", r.Index,
		describe(r.Kind, r.Name, r.Hash), describe(k, name, hash))
}

func describe(k kind, name, hash string) string {
	text := string(k)
	if name != "" {
		text += " " + strconv.Quote(name)
	}
	if hash != "" {
		text += " with input " + hash
	}
	return text
}

func appendMember(b []byte, name, value string) []byte {
	if value == "" {
		return b
	}
	return appendString(appendName(b, name), value)
}

func appendNumber(b []byte, name string, value int64) []byte {
	if value == 0 {
		return b
	}
	return strconv.AppendInt(appendName(b, name), value, 10)
}

func appendRaw(b []byte, name string, value []byte) []byte {
	if len(value) == 0 {
		return b
	}
	return append(appendName(b, name), value...)
}

func appendName(b []byte, name string) []byte {
	b = append(b, ',', '"')
	b = append(b, name...)
	return append(b, '"', ':')
}
