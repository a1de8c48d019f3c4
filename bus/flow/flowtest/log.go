package flowtest

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/flow"
)

// Fault is what happens to one append.
type Fault int

// The faults.
const (
	None        Fault = iota
	CrashBefore       // the process dies and the message was not stored
	CrashAfter        // the process dies and the message was stored
	LostAck           // stored, but the acknowledgement is lost
	LostMessage       // not stored, and nobody says so
	Refused           // not stored, refused although nothing is in the way, as a replicated stream does
	Missing           // not stored: no stream answers
)

// Log is a [flow.Log] in memory that fails where it is told to. Acknowledgements come
// at once, so that every flush of the engine is a message of its own. It is safe for
// concurrent use.
type Log struct {
	mu       sync.Mutex
	messages []flow.Stored
	last     map[string]int // index of a subject's last message + 1
	appends  int
	faults   map[int]Fault
	dead     bool
	died     func()
}

// NewLog returns an empty log.
func NewLog() *Log { return &Log{last: map[string]int{}, faults: map[int]Fault{}} }

// Fail makes the n-th append from now on, counted from 1, end with the fault.
func (l *Log) Fail(n int, f Fault) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.faults[l.appends+n] = f
}

// Appends is how many appends were tried, whatever became of them.
func (l *Log) Appends() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.appends
}

// Alive reports whether the process that uses the log has not crashed.
func (l *Log) Alive() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.dead
}

// onDeath sets what a crash does besides: the process's work ends.
func (l *Log) onDeath(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.died = f
}

// die is the crash; l.mu is held.
func (l *Log) die() {
	l.dead = true
	if l.died != nil {
		l.died()
	}
}

// Revive starts the process again after a crash.
func (l *Log) Revive() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dead = false
	clear(l.faults)
}

// Append implements flow.Log.
func (l *Log) Append(msg *nats.Msg, expect uint64, done func(uint64, error)) {
	if sequence, answered, err := l.append(msg, expect); answered {
		done(sequence, err)
	}
}

func (l *Log) append(msg *nats.Msg, expect uint64) (sequence uint64, answered bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dead {
		return 0, false, nil
	}
	l.appends++
	fault := l.faults[l.appends]
	switch fault {
	case CrashBefore:
		l.die()
		return 0, false, nil
	case LostMessage:
		return 0, true, bus.ErrUnknown
	case Refused:
		return 0, true, bus.ErrConflict
	case Missing:
		return 0, true, bus.ErrNoStream
	case None, CrashAfter, LostAck:
	}
	if last := l.last[msg.Subject]; expect != bus.NoExpectation && uint64(last) != expect { //nolint:gosec // an index
		return 0, true, bus.ErrConflict
	}
	l.messages = append(l.messages, flow.Stored{
		Subject: msg.Subject, Header: maps.Clone(msg.Header), Data: bytes.Clone(msg.Data),
		Sequence: uint64(len(l.messages) + 1), Time: time.Now(),
	})
	l.last[msg.Subject] = len(l.messages)
	switch fault {
	case CrashAfter:
		l.die()
		return 0, false, nil
	case LostAck:
		return 0, true, bus.ErrUnknown
	case None, CrashBefore, LostMessage, Refused, Missing:
	}
	return uint64(len(l.messages)), true, nil
}

// Last implements flow.Log.
func (l *Log) Last(_ context.Context, subject string) (flow.Stored, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := l.last[subject]; i > 0 {
		return l.messages[i-1], nil
	}
	return flow.Stored{}, nil
}

// At implements flow.Log.
func (l *Log) At(_ context.Context, sequence uint64) (flow.Stored, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if sequence == 0 || sequence > uint64(len(l.messages)) {
		return flow.Stored{}, fmt.Errorf("there is no message %d", sequence)
	}
	return l.messages[sequence-1], nil
}

// Next implements flow.Log.
func (l *Log) Next(_ context.Context, subject string, from uint64) (flow.Stored, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, m := range l.messages {
		if m.Subject == subject && m.Sequence >= from {
			return m, nil
		}
	}
	return flow.Stored{}, nil
}
