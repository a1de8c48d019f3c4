package flow

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ordermesh/ordermesh/bus/contract"
)

// Headers of an input. The body of a start is the flow's input, of a cancel its
// reason in JSON.
const (
	headerKind    = "Mesh-Flow"         // what the input is; see inputKind
	headerVersion = "Mesh-Flow-Version" // start: the version that the instance is pinned to
	headerFirst   = "Mesh-Flow-First"   // start: stored as the first message of its inbox
	headerReply   = "Mesh-Flow-Reply"   // who wants the outcome
	headerInput   = "Mesh-Flow-Input"   // id of the input: a second one with it is skipped
	headerSignal  = "Mesh-Flow-Signal"  // signal and outcome: what the function asks for
)

// inputKind says what a message on an inbox asks for. A kind that this build does not
// know is handed back.
type inputKind string

const (
	inputStart   inputKind = "start"   // begin, or join the running instance
	inputAttach  inputKind = "attach"  // wants the outcome
	inputCancel  inputKind = "cancel"  // stop at the next step and compensate
	inputRetry   inputKind = "retry"   // go on after being stuck
	inputSignal  inputKind = "signal"  // something the function waits for, or will
	inputOutcome inputKind = "outcome" // how a child flow ended
	inputTimer   inputKind = "timer"   // an alarm that went off
	inputGone    inputKind = "gone"    // stands for the inputs of a flow that ended long ago
)

// errPoison reports a message on an inbox that nobody will ever be able to use.
var errPoison = errors.New("not an input of a flow")

// kept reports whether an input of the kind must not be lost while a flow is stuck.
func (k inputKind) kept() bool { return k == inputSignal || k == inputOutcome }

// acker is what is needed of a delivered message; jetstream.Msg has it.
type acker interface {
	Ack() error
	NakWithDelay(delay time.Duration) error
}

// input is one message of an inbox.
type input struct {
	kind      inputKind
	name, id  string
	version   int
	first     bool
	reply     string
	inputID   string
	signal    string
	scheduler string // timer: the subject of the alarm
	trace     string
	actor     string
	body      []byte
	ref       string // of a large body: its name in the object store
	sequence  uint64
	delivered uint64
	at        time.Time
	msg       acker
	reloads   int // how often its instance was fenced
}

// parseInput reads a delivered message.
func parseInput(msg jetstream.Msg) (*input, error) {
	meta, err := msg.Metadata()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errPoison, err)
	}
	in, err := readInput(msg.Subject(), msg.Headers(), msg.Data())
	if err != nil {
		return nil, err
	}
	in.sequence, in.delivered, in.at = meta.Sequence.Stream, meta.NumDelivered, meta.Timestamp
	in.msg = msg
	return in, nil
}

// readInput reads what a message says by itself.
func readInput(subject string, h nats.Header, body []byte) (*input, error) {
	service, _, name, id, ok := contract.ParseFlowInput(subject)
	if !ok || !contract.ValidID(name) || !contract.ValidID(id) {
		return nil, fmt.Errorf("%w: subject %s", errPoison, subject)
	}
	in := &input{
		kind: inputKind(headerOf(h, headerKind)), name: name, id: id, body: body,
		first: headerOf(h, headerFirst) != "", reply: headerOf(h, headerReply), inputID: headerOf(h, headerInput),
		trace: headerOf(h, contract.HeaderTrace), actor: headerOf(h, contract.HeaderActor),
	}
	if in.kind == "" {
		return nil, fmt.Errorf("%w: header %s is missing", errPoison, headerKind)
	}
	if err := in.readKind(h); err != nil {
		return nil, err
	}
	if in.ref = headerOf(h, headerRef); in.ref != "" {
		owner, name, id, _, ok := parsePayload(in.ref)
		if !ok || owner != service || name != in.name || id != in.id {
			return nil, fmt.Errorf("%w: header %s is %q", errPoison, headerRef, in.ref)
		}
	}
	return in, nil
}

// readKind reads what only some kinds have.
func (in *input) readKind(h nats.Header) error {
	switch in.kind {
	case inputStart:
		version, err := strconv.Atoi(headerOf(h, headerVersion))
		if err != nil || version < 1 {
			return fmt.Errorf("%w: header %s is %q", errPoison, headerVersion, headerOf(h, headerVersion))
		}
		in.version = version
	case inputSignal, inputOutcome:
		in.signal = headerOf(h, headerSignal)
		if in.signal == "" || in.inputID == "" {
			return fmt.Errorf("%w: a %s needs the headers %s and %s", errPoison, in.kind, headerSignal, headerInput)
		}
	case inputTimer:
		in.scheduler = headerOf(h, headerScheduler)
	case inputAttach, inputCancel, inputRetry, inputGone:
	}
	return nil
}

// headerOf returns the first value of a header in the spelling that we write.
func headerOf(h nats.Header, key string) string {
	if values := h[key]; len(values) > 0 {
		return values[0]
	}
	return ""
}

// known reports whether this build knows what the input asks for.
func (in *input) known() bool {
	switch in.kind {
	case inputStart, inputAttach, inputCancel, inputRetry, inputSignal, inputOutcome, inputTimer, inputGone:
		return true
	}
	return false
}

// hash stands for what the input says.
func (in *input) hash() string {
	if _, _, _, hash, ok := parsePayload(in.ref); ok {
		return hash
	}
	return inputHash(in.body)
}

// origin is what an instance remembers of its start.
func (in *input) origin(s spec) origin {
	o := origin{
		Flow: in.name, ID: in.id, Version: in.version, Start: in.sequence, Hash: in.hash(),
		At: in.at.UnixMilli(), Trace: in.trace, Actor: in.actor,
	}
	if s.deadline > 0 {
		o.Deadline = in.at.Add(s.deadline).UnixMilli()
	}
	return o
}

// handBack lets the server deliver the input again after a while: another process
// may know what to do with it. The pause grows with the deliveries.
func (in *input) handBack() {
	if in.msg == nil {
		return
	}
	pause := time.Second << min(in.delivered, 5)
	_ = in.msg.NakWithDelay(pause) // a lost answer means the same, after AckWait
}

// ack removes the input for good.
func (in *input) ack() {
	if in.msg == nil {
		return
	}
	_ = in.msg.Ack() // a lost acknowledgement means another delivery, which is recognised
}
