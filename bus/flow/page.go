package flow

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/ordermesh/ordermesh/bus/contract"
)

// pageVersion is the layout of a journal message.
const pageVersion = 1

// errForeign reports a message on a journal's subject that is no journal, or one of
// a layout that only a newer build can read.
var errForeign = errors.New("not a journal message that this build can read")

// Status is where an instance stands.
type Status string

// The statuses. Pending has no journal yet; running and compensating go on by
// themselves; waiting does so at a time or on a signal that it waits for; stuck waits
// for a person; the others are final.
const (
	Pending      Status = "pending"
	Running      Status = "running"
	Waiting      Status = "waiting"
	Compensating Status = "compensating"
	Completed    Status = "completed"
	Failed       Status = "failed"
	Cancelled    Status = "cancelled"
	Stuck        Status = "stuck"
)

// Ended reports whether the status is final.
func (s Status) Ended() bool { return s == Completed || s == Failed || s == Cancelled }

// origin is what an instance was started with. It changes only when the instance is
// continued as new, and every message repeats it: an instance must know who it is even
// when the message that started it is long acknowledged.
type origin struct {
	Flow    string `json:"flow"`
	ID      string `json:"id"`
	Version int    `json:"version"`
	Start   uint64 `json:"start"`          // sequence of the start input, whose body is the flow's input
	Hash    string `json:"hash"`           // of the input
	At      int64  `json:"at"`             // when it was started, Unix milliseconds
	Trace   string `json:"trace,omitzero"` // traceparent of the caller
	Actor   string `json:"actor,omitzero"` // Mesh-Actor of the caller

	Deadline int64        `json:"deadline,omitzero"`  // when it is cancelled, Unix milliseconds
	Gen      int          `json:"gen,omitzero"`       // how often it was continued as new
	Input    contract.Raw `json:"input,omitzero"`     // of this generation, if it is not the first
	InputRef string       `json:"input_ref,omitzero"` // or, when it is large, its name in the object store
}

// page is one message of a journal: everything so far, or, for a long journal,
// everything since the last full page (Pages lists those).
type page struct {
	V int `json:"v"`
	origin
	Status  Status       `json:"status"`
	Writer  string       `json:"writer"`           // unique for each activation
	N       uint64       `json:"n"`                // counts the writer's messages
	Replies []string     `json:"replies,omitzero"` // who waits for the outcome
	Seen    []string     `json:"seen,omitzero"`    // ids of inputs that were taken in
	Places  []uint64     `json:"places,omitzero"`  // where each of those is in the stream
	Past    uint64       `json:"past,omitzero"`    // signals and outcomes up to here were taken in
	Late    []uint64     `json:"late,omitzero"`    // but for these: they were handed back
	Mail    []letter     `json:"mail,omitzero"`    // signals and outcomes that nobody has waited for yet
	Report  contract.Raw `json:"report,omitzero"`  // the progress that the function last reported
	Pages   []uint64     `json:"pages,omitzero"`   // sequences of the full pages before this one
	Records []record     `json:"records,omitzero"` // closed records, in order
	Open    *record      `json:"open,omitzero"`    // the step under way, if its attempts left a trace
	Result  contract.Raw `json:"result,omitzero"`  // completed
	Ref     string       `json:"ref,omitzero"`     // completed with a large result: its name in the object store
	Error   contract.Raw `json:"error,omitzero"`   // failed or cancelled
	Reason  string       `json:"reason,omitzero"`  // stuck or cancelled: why; failed: the error's full text
	Ended   int64        `json:"ended,omitzero"`   // of a result record alone: when the flow ended, Unix milliseconds
}

// decodePage reads a journal message.
func decodePage(data []byte) (page, error) {
	var p page
	if err := contract.UnmarshalLenient(data, &p); err != nil {
		return page{}, fmt.Errorf("%w: %w", errForeign, err)
	}
	if p.V != pageVersion || p.Start == 0 || p.Flow == "" {
		return page{}, fmt.Errorf("%w: layout %d", errForeign, p.V)
	}
	return p, nil
}

// append encodes the members that never change, without the opening brace's partner.
func (o *origin) append(b []byte) []byte {
	b = append(b, `{"v":`...)
	b = strconv.AppendInt(b, pageVersion, 10)
	b = appendMember(b, "flow", o.Flow)
	b = appendMember(b, "id", o.ID)
	b = appendNumber(b, "version", int64(o.Version))
	b = strconv.AppendUint(appendName(b, "start"), o.Start, 10)
	b = appendMember(b, "hash", o.Hash)
	b = appendNumber(b, "at", o.At)
	b = appendMember(b, "trace", o.Trace)
	b = appendMember(b, "actor", o.Actor)
	b = appendNumber(b, "deadline", o.Deadline)
	b = appendNumber(b, "gen", int64(o.Gen))
	b = appendRaw(b, "input", o.Input)
	return appendMember(b, "input_ref", o.InputRef)
}

func appendStrings(b []byte, name string, values []string) []byte {
	if len(values) == 0 {
		return b
	}
	b = append(appendName(b, name), '[')
	for i, v := range values {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, v)
	}
	return append(b, ']')
}

func appendSequences(b []byte, name string, values []uint64) []byte {
	if len(values) == 0 {
		return b
	}
	b = append(appendName(b, name), '[')
	for i, v := range values {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendUint(b, v, 10)
	}
	return append(b, ']')
}
