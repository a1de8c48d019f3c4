package contract

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Header names of ordermesh. Values are ASCII.
const (
	HeaderVersion   = "Mesh-Version"    // commit: <first>-<last> version of the entity
	HeaderPrev      = "Mesh-Prev"       // commit: stream sequence of the entity's previous message, 0 for none
	HeaderSnap      = "Mesh-Snap"       // commit: stream sequence of the last message with folded state; "self" when this one has it, 0 for none
	HeaderActor     = "Mesh-Actor"      // who acts, for whom; see Actor
	HeaderTimeout   = "Mesh-Timeout"    // call: milliseconds left, measured from arrival
	HeaderCommand   = "Idempotency-Key" // call: command id
	HeaderTrace     = "traceparent"     // W3C Trace Context
	HeaderErrorCode = "Nats-Service-Error-Code"
	HeaderError     = "Nats-Service-Error"
)

// CommitVersion is the "v" of a commit's body.
const CommitVersion = 1

// ErrNotCommit reports a message that is not in the commit format: somebody else's.
var ErrNotCommit = errors.New("not a commit")

// Record is one event inside a commit.
type Record struct {
	ID      string    `json:"id"`      // unique: derived from entity, command and index
	Type    string    `json:"type"`    // such as "order.placed.v1"
	Command string    `json:"command"` // id of the command that caused it
	At      time.Time `json:"at"`      // UTC, by the deciding process's clock: for people, never for order
	Data    Raw       `json:"data"`
}

// Snapshot is an entity's folded state after the commit that carries it.
type Snapshot struct {
	Schema   int      `json:"schema"`             // layout of Data; an unknown number means fold from the events
	Commands []string `json:"commands,omitempty"` // ids of recent commands "id@version", oldest first
	Data     Raw      `json:"data"`
}

// Commit is the body of one message on an entity's subject: the events of one or
// more commands that were decided in a row and stand or fall together.
type Commit struct {
	V      int       `json:"v"`
	Events []Record  `json:"events"`
	State  *Snapshot `json:"state,omitempty"`
}

// CommitHeader is the part of a commit that travels in headers.
type CommitHeader struct {
	First, Last uint64 // versions of the first and the last event, counted from 1
	Prev        uint64 // sequence of the entity's previous message
	Snap        uint64 // sequence of the last message with state; SnapSelf for this one
}

// SnapSelf stands for "this message" in CommitHeader.Snap: its sequence is not
// known before it is stored.
const SnapSelf = ^uint64(0)

// EncodeCommit returns the body of a commit.
func EncodeCommit(c Commit) ([]byte, error) {
	c.V = CommitVersion
	return Marshal(c)
}

// DecodeCommit reads a commit's body. Anything that is not a commit of a version
// this build knows gives an error that wraps ErrNotCommit.
//
// It keeps parts of body, which must not change.
func DecodeCommit(body []byte) (Commit, error) {
	if c, ok := decodePlain(body); ok {
		return c, nil
	}
	var c Commit
	if err := UnmarshalLenient(body, &c); err != nil {
		return Commit{}, fmt.Errorf("%w: %w", ErrNotCommit, err)
	}
	if c.V < 1 {
		return Commit{}, fmt.Errorf("%w: no version", ErrNotCommit)
	}
	if c.V > CommitVersion {
		return Commit{}, fmt.Errorf("%w: commit format %d", ErrUnknownEvent, c.V)
	}
	if len(c.Events) == 0 {
		return Commit{}, fmt.Errorf("%w: no events", ErrNotCommit)
	}
	return c, nil
}

// Header is what ParseCommitHeader needs of a message's headers; nats.Header has it.
type Header interface{ Get(key string) string }

// SetTo writes the header fields with set, for example nats.Header.Set.
func (h CommitHeader) SetTo(set func(key, value string)) {
	set(HeaderVersion, strconv.FormatUint(h.First, 10)+"-"+strconv.FormatUint(h.Last, 10))
	set(HeaderPrev, strconv.FormatUint(h.Prev, 10))
	if h.Snap == SnapSelf {
		set(HeaderSnap, "self")
		return
	}
	set(HeaderSnap, strconv.FormatUint(h.Snap, 10))
}

// ParseCommitHeader reads the headers of a commit; an error wraps ErrNotCommit.
func ParseCommitHeader(h Header) (CommitHeader, error) {
	var c CommitHeader
	first, last, ok := strings.Cut(h.Get(HeaderVersion), "-")
	if !ok {
		return c, fmt.Errorf("%w: header %s is missing", ErrNotCommit, HeaderVersion)
	}
	var errs [4]error
	c.First, errs[0] = strconv.ParseUint(first, 10, 64)
	c.Last, errs[1] = strconv.ParseUint(last, 10, 64)
	c.Prev, errs[2] = strconv.ParseUint(h.Get(HeaderPrev), 10, 64)
	if snap := h.Get(HeaderSnap); snap == "self" {
		c.Snap = SnapSelf
	} else {
		c.Snap, errs[3] = strconv.ParseUint(snap, 10, 64)
	}
	if err := errors.Join(errs[:]...); err != nil || c.First == 0 || c.Last < c.First {
		return CommitHeader{}, fmt.Errorf("%w: bad headers %s, %s, %s", ErrNotCommit, HeaderVersion, HeaderPrev, HeaderSnap)
	}
	return c, nil
}

// Actor says who acts. The zero value is the mesh itself acting for nobody.
type Actor struct {
	Who     string   // the authenticated caller: a service, a user
	For     string   // the customer on whose behalf; "" for none: no restriction
	Scopes  []string // what the caller may do
	Request string   // id of the request at the edge, for logs
}

// Encode returns the value of the Mesh-Actor header: URL query encoding of
// who, for, scopes (space-separated) and request; "" for the zero value.
func (a Actor) Encode() string {
	v := url.Values{}
	for key, value := range map[string]string{"who": a.Who, "for": a.For, "scopes": strings.Join(a.Scopes, " "), "request": a.Request} {
		if value != "" {
			v.Set(key, value)
		}
	}
	return v.Encode()
}

// ParseActor reads a Mesh-Actor header. A value that cannot be read is refused
// with Unauthenticated, never taken as "nobody in particular".
func ParseActor(value string) (Actor, error) {
	if value == "" {
		return Actor{}, nil
	}
	v, err := url.ParseQuery(value)
	if err != nil || len(value) > 4096 {
		return Actor{}, NewError(Unauthenticated, "bad_actor", "the header Mesh-Actor cannot be read")
	}
	return Actor{Who: v.Get("who"), For: v.Get("for"), Scopes: strings.Fields(v.Get("scopes")), Request: v.Get("request")}, nil
}
