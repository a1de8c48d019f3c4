// Package eventstore keeps entities: each is one JetStream subject, changed only by
// appending events on condition that nobody else appended meanwhile.
//
// An [Entity] runs a pure decision on an entity's state and appends the events of a
// command as one message (see contract.Commit) by compare-and-append. Commands that
// arrive while an append is on its way wait, are decided in a row on the state that
// will be, and share the next message. It is not a query engine: lists and searches
// are views, which fold the same stream elsewhere. It is not a place for records
// that nobody decides on.
//
// It promises, for every entity and however many processes work on it:
//   - a command that was answered without error is stored, once, unless its id is empty:
//     then a caller that repeats it after an unknown outcome may do it twice;
//   - a repeated command id is recognised among at least the last 128 commands;
//   - refusals, "nothing to do" and reads reflect everything that was acknowledged
//     before they were asked for, as far as the stream's leader knows. NATS has no
//     quorum read: a leader that was cut off answers old reads until it steps down,
//     some ten seconds later; it cannot append, and it is not believed when it knows
//     less than this process does;
//   - versions count events 1..n without gap or fork;
//   - at most one append per entity and process is on its way;
//   - loading costs the same however long the stream and the entity's history are:
//     the last message, the message with the last folded state and at most 31 more.
//
// A message on an entity's subject that is no commit is skipped and reported. When
// such a message is the last one, the last commit is searched backwards in stretches
// of the stream that grow eightfold from 64 sequences; this costs reading the
// subject's messages in the last stretch. An event type, or a commit format, that
// this build does not know answers contract.Unavailable with reason newer_version:
// a newer version of the service owns the entity now.
//
// The state is a value: evolve must not change maps or slice elements of the state
// it is given. It must survive JSON, because it travels inside messages; raise
// [WithSchema] whenever its layout, its meaning or the set of event types changes.
package eventstore

import (
	"context"
	"iter"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/ordermesh/ordermesh/bus/contract"
)

// Message is what a log stores. Sequence and Time are set by the log.
type Message struct {
	Subject  string
	Sequence uint64
	Header   nats.Header
	Data     []byte
	Time     time.Time
}

// Log stores messages by literal subject. Its sequences grow over all subjects.
// Append may add headers to the map it is given and keeps nothing of it; what a read
// returns is not changed by anybody.
type Log interface {
	// Append stores m on condition that the subject's last message has the sequence
	// expect (0: there is none; bus.NoExpectation: no condition) and returns its
	// sequence. The error wraps bus.ErrConflict when the condition does not hold,
	// bus.ErrNoStream when nothing was stored and another try may succeed, and
	// bus.ErrUnknown when it is unknown whether m is stored.
	Append(ctx context.Context, m Message, expect uint64) (uint64, error)
	// Last returns the subject's last message, or one with Sequence 0 when there is
	// none. It reflects every append that was acknowledged before the call.
	Last(ctx context.Context, subject string) (Message, error)
	// Peek is Last for those who can bear an older answer: it is cheaper.
	Peek(ctx context.Context, subject string) (Message, error)
	// Range yields the subject's messages with sequences above after, in order. It
	// may miss the newest ones, so whoever must have them compares with Last. An
	// error ends it.
	Range(ctx context.Context, subject string, after uint64) iter.Seq2[Message, error]
}

// Reasons of the errors that an [Entity] answers by itself.
var (
	// ErrNewerVersion: the entity holds events that a newer version of the service
	// wrote. This build must not decide on it.
	ErrNewerVersion = contract.NewError(contract.Unavailable, "newer_version",
		"a newer version of the service has changed this; this process cannot work on it")
	// ErrBrokenHistory: the entity's versions have a gap or a fork.
	ErrBrokenHistory = contract.NewError(contract.Unavailable, "broken_history",
		"the stored history is damaged; an operator must look at it")
	// ErrTooLarge: the events of one command do not fit into one message.
	ErrTooLarge = contract.NewError(contract.Unprocessable, "too_large",
		"the change is too large to be stored")
	// ErrCommandID: the command id cannot be used.
	ErrCommandID = contract.NewError(contract.Invalid, "bad_command_id",
		"the command id must be at most 256 bytes of printable text")
)

// Recorded is an event with its place in the entity's history.
type Recorded[E any] struct {
	ID       string    // unique
	Type     string    // such as "order.placed.v1"
	Command  string    // id of the command that caused it, "" if it had none
	At       time.Time // by the deciding process's clock
	Version  uint64    // counted from 1 within the entity
	Sequence uint64    // of the message that holds it, in the stream
	Data     E
	Actor    contract.Actor // who caused it
}
