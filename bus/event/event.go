// Package event delivers the events of an entity to a handler, durably: every event
// is handled at least once, whatever process dies, and a handler says in one word
// what became of it.
//
//	consumer, err := event.NewConsumer(conn, orders.Events, "orders-delivered")
//	err = consumer.Run(ctx, func(ctx context.Context, e event.Event[orders.Event]) event.Outcome {
//		if err := s.react(ctx, e); err != nil {
//			return event.Retry(err)
//		}
//		return event.Done
//	})
//
// A handler returns Done, Retry (something failed: again after a growing pause),
// Later (not yet: again after the given time) or Reject (this can never work). What
// is rejected, what has failed too often and what cannot be decoded becomes a dead
// letter in stream DLQ, acknowledged only once the letter is stored; see
// [DeadLetters]. A panic counts as Retry. While a dependency is down the consumer
// stops handling and probes it, instead of burning attempts.
//
// It promises:
//   - at least once: a message is acknowledged after its handler has finished, never
//     before; a handler must therefore be idempotent, by version or by command id;
//   - a handler may take as long as it needs: the message is kept alive meanwhile and
//     runs once in this process;
//   - a message that fails does not hold up its neighbours;
//   - no order between messages, unless the consumer is [Ordered]: then the events of
//     one entity are handled one after the other, in order, also when another process
//     takes over, and a failing event holds up the later events of its own entity
//     until it is done or a dead letter;
//   - the events of one commit are handled in order, one handler call each; the
//     message is done when all of them are.
//
// It is not for reading a whole stream into memory (bus/view) and not for commands
// (bus/rpc): what it delivers has happened.
package event

import (
	"time"

	"github.com/ordermesh/ordermesh/bus/contract"
)

// Event is one event of an entity, as it was stored.
type Event[E any] struct {
	Entity   string         // the entity's name, such as "order"
	ID       string         // the entity's id
	EventID  string         // unique; use it, or Command, to derive ids of what follows
	Type     string         // name on the wire, such as "order.placed.v1"
	Command  string         // id of the command that caused it
	At       time.Time      // by the deciding process's clock: for people, never for order
	Version  uint64         // the entity's version after this event, counted from 1
	Sequence uint64         // of the message in its stream; several events may share it
	Data     E              // the event itself
	Actor    contract.Actor // who caused it
	Attempt  int            // 1 for the first delivery
}

// Outcome is what became of an event. The zero value is Done.
type Outcome struct {
	kind  outcomeKind
	err   error
	delay time.Duration
}

type outcomeKind int

const (
	kindDone outcomeKind = iota
	kindRetry
	kindLater
	kindReject
)

// Done says that the event is handled for good.
var Done = Outcome{}

// Retry says that something failed that may work another time. The event comes
// again after a pause that grows with every failure; after too many failures it
// becomes a dead letter, except when err says that a dependency is down: that is
// retried for a day at least. Retry(nil) is Done.
func Retry(err error) Outcome {
	if err == nil {
		return Done
	}
	return Outcome{kind: kindRetry, err: err}
}

// Later says that nothing failed but the time has not come: the event comes again
// after about d and this does not count as a failure.
func Later(d time.Duration) Outcome { return Outcome{kind: kindLater, delay: d} }

// Reject says that the event can never be handled: it becomes a dead letter at once.
// Reject(nil) is Done.
func Reject(err error) Outcome {
	if err == nil {
		return Done
	}
	return Outcome{kind: kindReject, err: err}
}

// From turns the error of a reaction into an outcome: nil is Done, a refusal
// (invalid, not found, conflict and the like) is Reject, anything else is Retry.
func From(err error) Outcome {
	switch {
	case err == nil:
		return Done
	case contract.IsRefusal(err):
		return Reject(err)
	}
	return Retry(err)
}
