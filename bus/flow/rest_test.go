package flow

import (
	"context"
	"math"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/ordermesh/ordermesh/bus/telemetry"
)

// quick is a log that stores everything.
type quick struct {
	Log
	sequence uint64
}

func (q *quick) Append(_ *nats.Msg, _ uint64, done func(uint64, error)) {
	q.sequence++
	done(q.sequence, nil)
}

// acks counts the acknowledgements of an input.
type acks int

func (a *acks) Ack() error                       { *a++; return nil }
func (*acks) NakWithDelay(_ time.Duration) error { return nil }

// resting returns an instance that is about to wait, held up by one letter and one
// other input.
func resting(t *testing.T) (in *instance, letter, other *acks) {
	t.Helper()
	tel := telemetry.Nop()
	s := spec{name: "f", version: 1}
	flows := catalogue{flowVersion{"f", 1}: s}
	e := &engine{
		service: "s", session: "t", log: &quick{}, flows: flows, partitions: 1, telemetry: tel,
		metrics: newMetrics(tel, "s", flows), alive: func() bool { return true },
	}
	letter, other = new(acks), new(acks)
	in = newInstance(context.Background(), e, &input{kind: inputStart, name: "f", id: "1", sequence: 1, msg: other})
	in.attach(in.newJournal(in.held[0].origin(s)), s, nil)
	in.offer(&input{kind: inputSignal, name: "f", id: "1", signal: "go", inputID: "go/1", sequence: 2, msg: letter})
	return in, letter, other
}

// A letter that comes just before a wait is stored is not acknowledged: after a crash
// nothing else would wake the flow.
func TestALetterThatEndsAWaitIsHeld(t *testing.T) {
	t.Parallel()
	in, letter, other := resting(t)
	open := &record{Kind: kindSignal, Name: "go"}
	if in.retire(open, time.Time{}, func() bool { _, ok := in.j.find("go"); return ok }) || *letter+*other != 0 {
		t.Errorf("%d and %d acknowledgements while the flow could go on", *letter, *other)
	}
	if !in.retire(open, time.Time{}, func() bool { _, ok := in.j.find("stop"); return ok }) || *letter != 1 || *other != 1 {
		t.Errorf("%d and %d acknowledgements after the wait was stored", *letter, *other)
	}
}

// A cancel that has taken hold need not be held any more; one that has not must be.
func TestACancelIsHeldUntilItTakesHold(t *testing.T) {
	t.Parallel()
	in, _, _ := resting(t)
	cancel := new(acks)
	in.offer(&input{kind: inputCancel, name: "f", id: "1", inputID: "c", sequence: 3, msg: cancel})
	open := &record{Kind: kindUndo, Name: "undo", Due: math.MaxInt32}
	if in.retire(open, time.Time{}, nil); *cancel != 0 {
		t.Error("acknowledged before it took hold")
	}
	in.markSeen(true)
	if in.retire(open, time.Time{}, nil); *cancel != 1 {
		t.Errorf("%d acknowledgements after it took hold", *cancel)
	}
}
