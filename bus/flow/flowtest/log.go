package flowtest

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/contract"
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

// Log is a [flow.Broker] in memory that fails where it is told to. Acknowledgements of
// appends come at once, so that every flush of the engine is a message of its own. It
// is safe for concurrent use.
//
// A crash ends the process that uses the log and not the log: schedules go off and
// messages from outside are stored while the process is dead.
type Log struct {
	mu        sync.Mutex
	messages  []flow.Stored
	last      map[string]int // index of a subject's last message + 1
	appends   int
	faults    map[int]Fault
	dead      bool
	died      func()
	done      map[uint64]bool   // acknowledged
	delivered map[uint64]uint64 // how often
	deliver   func(s flow.Stored, delivered uint64)
	queue     []flow.Stored
	schedules map[string]*time.Timer
	payloads  map[string][]byte
	late      time.Duration // how late schedules go off
	ahead     time.Duration // by how much the clock of the log is ahead of ours
	set       int           // schedules that were ever set
}

// NewLog returns an empty log.
func NewLog() *Log {
	return &Log{
		last: map[string]int{}, faults: map[int]Fault{}, done: map[uint64]bool{}, delivered: map[uint64]uint64{},
		schedules: map[string]*time.Timer{}, payloads: map[string][]byte{}, late: granularity,
	}
}

// Ahead makes the clock of the log differ from that of the process.
func (l *Log) Ahead(by time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ahead = by
}

// Fail makes the n-th append from now on, counted from 1, end with the fault.
func (l *Log) Fail(n int, f Fault) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.faults[l.appends+n] = f
}

// Appends is how many appends were tried, whatever became of them. Messages from
// outside are not counted.
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
	l.dead, l.deliver = true, nil
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
	if sequence, err = l.store(msg); err != nil {
		return 0, true, err
	}
	switch fault {
	case CrashAfter:
		l.die()
		return 0, false, nil
	case LostAck:
		return 0, true, bus.ErrUnknown
	case None, CrashBefore, LostMessage, Refused, Missing:
	}
	return sequence, true, nil
}

// Put implements flow.Broker.
func (l *Log) Put(msg *nats.Msg) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, err := l.store(msg)
	return err
}

// store keeps a message and does what a server does with it; l.mu is held.
func (l *Log) store(msg *nats.Msg) (uint64, error) {
	if gone := msg.Header.Get("Nats-Scheduler"); gone != "" && msg.Header.Get("Nats-Schedule-Next") == "purge" {
		if !l.unschedule(gone) {
			return 0, &bus.APIError{Code: 400, ErrCode: 10212, Description: "message schedules pattern is invalid"}
		}
	}
	s := flow.Stored{
		Subject: msg.Subject, Header: maps.Clone(msg.Header), Data: bytes.Clone(msg.Data),
		Sequence: uint64(len(l.messages) + 1), Time: time.Now().Add(l.ahead),
	}
	l.messages = append(l.messages, s)
	l.last[msg.Subject] = len(l.messages)
	l.schedule(s)
	l.hand(s)
	return s.Sequence, nil
}

// unacked lists the inputs that are not acknowledged.
func (l *Log) unacked() []flow.Stored {
	l.mu.Lock()
	defer l.mu.Unlock()
	var left []flow.Stored
	for _, s := range l.messages {
		if _, _, _, _, ok := contract.ParseFlowInput(s.Subject); ok && !l.done[s.Sequence] {
			left = append(left, s)
		}
	}
	return left
}

// Schedules is how many schedules were ever set.
func (l *Log) Schedules() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.set
}

// Scheduled is how many schedules have not gone off.
func (l *Log) Scheduled() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.schedules)
}

func (l *Log) unschedule(subject string) bool {
	timer := l.schedules[subject]
	delete(l.schedules, subject)
	return timer != nil && timer.Stop()
}

// schedule sets the timer that a message asks for, as late as a server's.
func (l *Log) schedule(s flow.Stored) {
	text, ok := strings.CutPrefix(s.Header.Get("Nats-Schedule"), "@at ")
	if !ok {
		return
	}
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return
	}
	l.unschedule(s.Subject)
	l.set++
	l.schedules[s.Subject] = time.AfterFunc(max(time.Until(at)-l.ahead, 0)+l.late, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.schedules, s.Subject)
		fired := &nats.Msg{Subject: s.Header.Get("Nats-Schedule-Target"), Data: s.Data, Header: nats.Header{}}
		for key, values := range s.Header {
			if !strings.HasPrefix(key, "Nats-") {
				fired.Header[key] = values
			}
		}
		fired.Header["Nats-Scheduler"] = []string{s.Subject}
		_, _ = l.store(fired) // a message that removes no schedule is always stored
	})
}

// granularity is how late the timers of a server usually are.
const granularity = 250 * time.Millisecond

// hand delivers a message of an inbox; l.mu is held.
func (l *Log) hand(s flow.Stored) {
	if _, _, _, _, ok := contract.ParseFlowInput(s.Subject); !ok || l.done[s.Sequence] || l.deliver == nil {
		return
	}
	l.queue = append(l.queue, s)
	if len(l.queue) == 1 {
		go l.pump()
	}
}

// pump delivers in order, without the lock.
func (l *Log) pump() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.queue) > 0 {
		s, f := l.queue[0], l.deliver
		if f != nil && !l.done[s.Sequence] {
			l.delivered[s.Sequence]++
			n := l.delivered[s.Sequence]
			l.mu.Unlock()
			f(s, n)
			l.mu.Lock()
		}
		l.queue = l.queue[1:]
	}
}

// Deliver implements flow.Broker.
func (l *Log) Deliver(f func(s flow.Stored, delivered uint64)) (stop func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.deliver = f
	for _, s := range l.messages {
		l.hand(s)
	}
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.deliver = nil
	}
}

// Ack implements flow.Broker.
func (l *Log) Ack(sequence uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.done[sequence] = l.done[sequence] || !l.dead
}

// Nak implements flow.Broker.
func (l *Log) Nak(sequence uint64, after time.Duration) {
	time.AfterFunc(after, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.hand(l.messages[sequence-1])
	})
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

// PutPayload implements flow.Payloads. A process that is dead stores nothing.
func (l *Log) PutPayload(_ context.Context, name string, value []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dead {
		return bus.ErrNoStream
	}
	l.payloads[name] = bytes.Clone(value)
	return nil
}

// Payload implements flow.Payloads.
func (l *Log) Payload(_ context.Context, name string) ([]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	value, ok := l.payloads[name]
	if !ok {
		return nil, flow.ErrNoPayload
	}
	return value, nil
}

// Payloads is how many large values are stored.
func (l *Log) Payloads() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.payloads)
}
