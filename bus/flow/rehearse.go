package flow

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/telemetry"
)

// Broker is a [Log] that also does what the consumer and the scheduler of a server do.
// Package flowtest has one in memory.
type Broker interface { //nolint:interfacebloat // it stands for a whole server
	Log
	Payloads
	// Deliver calls f for each message of an inbox that is not acknowledged, and for
	// each that comes, until stop is called. f must not block.
	Deliver(f func(s Stored, delivered uint64)) (stop func())
	// Ack removes a message for good.
	Ack(sequence uint64)
	// Nak has a message delivered again after a while.
	Nak(sequence uint64, after time.Duration)
	// Put stores a message from outside of the process that is rehearsed.
	Put(msg *nats.Msg) error
}

// Rehearsal runs one instance, and those that it starts, over any [Broker] with the
// engine that workers run, but without a server, partitions or leases. It is what
// package flowtest is made of; services use [Worker].
type Rehearsal struct {
	Flow  Registered
	With  []Registered // other definitions: children, other versions
	ID    string
	Input any
	Log   Broker
	Alive func() bool // false makes instances leave at their next step, like a lapsed ownership; nil means always
}

// rehearsed is the service name of rehearsals.
const rehearsed = "rehearsal"

// Run stores the start input unless the log has it, and runs the instance until it
// ends or is stuck; ok is false when it left before, because ctx ended or Alive said
// so. Running it again with the same log is what another worker would do after a crash.
func (r Rehearsal) Run(ctx context.Context) (state State, ok bool, err error) {
	s := r.Flow.registered()
	if err := r.start(ctx, s); err != nil {
		return State{}, false, err
	}
	if state, ok, err = r.State(ctx); ok || err != nil {
		return state, ok, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan struct{}, 1)
	e := r.engine(s)
	e.answer = func(string, []byte) {
		select {
		case ended <- struct{}{}:
		default:
		}
	}
	p := newPartition(ctx, e, nil, 0)
	p.floor = math.MaxUint64 // every journal is read
	stop := r.Log.Deliver(func(s Stored, delivered uint64) {
		if in, err := readInput(s.Subject, s.Header, s.Data); err == nil && in.known() {
			in.sequence, in.at, in.delivered, in.msg = s.Sequence, s.Time, delivered, rehearsedMsg{r.Log, s.Sequence}
			p.dispatch(in)
		}
	})
	select {
	case <-ended:
	case <-ctx.Done():
	}
	stop()
	p.close()
	p.flows.Wait()
	return r.State(context.WithoutCancel(ctx))
}

func (r Rehearsal) engine(s spec) *engine {
	flows := catalogue{flowVersion{s.name, s.version}: s}
	for _, other := range r.With {
		s := other.registered()
		flows[flowVersion{s.name, s.version}] = s
	}
	quiet := telemetry.Nop()
	e := &engine{
		service: rehearsed, session: fmt.Sprintf("rehearsal-%p", flows), log: r.Log, payloads: r.Log, flows: flows,
		partitions: 1, gate: newGate(defaultCapacity, flows), reading: make(chan struct{}, 1), telemetry: quiet, metrics: newMetrics(quiet, rehearsed, flows),
		alive: r.Alive,
	}
	if e.alive == nil {
		e.alive = func() bool { return true }
	}
	return e
}

// rehearsedMsg acknowledges at a [Broker].
type rehearsedMsg struct {
	log      Broker
	sequence uint64
}

func (m rehearsedMsg) Ack() error                         { m.log.Ack(m.sequence); return nil }
func (m rehearsedMsg) NakWithDelay(d time.Duration) error { m.log.Nak(m.sequence, d); return nil }

// start stores the start input where it is missing.
func (r Rehearsal) start(ctx context.Context, s spec) error {
	stored, err := findStart(ctx, r.Log, r.inbox())
	if err != nil || stored.Sequence > 0 {
		return err
	}
	body, err := inputOf(r.ID, r.Input)
	if err != nil {
		return err
	}
	return r.put(ctx, &nats.Msg{Subject: r.inbox(), Data: body, Header: nats.Header{
		headerKind: {string(inputStart)}, headerVersion: {fmt.Sprint(s.version)}, headerReply: {rehearsed},
	}})
}

func (r Rehearsal) put(ctx context.Context, msg *nats.Msg) error {
	if err := lighten(ctx, r.Log, msg); err != nil {
		return err
	}
	return r.Log.Put(msg)
}

func (r Rehearsal) inbox() string {
	return contract.FlowInput(rehearsed, 0, r.Flow.registered().name, r.ID)
}

// Signal hands the instance a signal, as [Client.Signal] does.
func (r Rehearsal) Signal(signal, signalID string, v any) error {
	body, err := encodeSignal(v)
	if err != nil {
		return err
	}
	return r.put(context.Background(), &nats.Msg{Subject: r.inbox(), Data: body, Header: nats.Header{
		headerKind: {string(inputSignal)}, headerSignal: {signal}, headerInput: {signal + "/" + signalID},
	}})
}

// Cancel asks the instance to stop, as [Client.Cancel] does.
func (r Rehearsal) Cancel(reason string) error {
	body, err := contract.Marshal(cancelBody{Reason: reason})
	if err != nil {
		return err
	}
	return r.Log.Put(&nats.Msg{Subject: r.inbox(), Data: body, Header: nats.Header{
		headerKind: {string(inputCancel)}, headerInput: {"cancel"},
	}})
}

// State reads how far the instance has come; ok is true once it has ended or is stuck.
func (r Rehearsal) State(ctx context.Context) (state State, ok bool, err error) {
	last, err := r.Log.Last(ctx, contract.FlowLog(rehearsed, r.Flow.registered().name, r.ID))
	if err != nil || last.Sequence == 0 {
		return State{}, false, err
	}
	p, err := decodePage(last.Data)
	if err != nil {
		return State{}, false, err
	}
	history, err := loadHistory(ctx, r.Log, p)
	state = stateOf(p, history)
	if err == nil && p.Ref != "" {
		state.Result, err = r.Log.Payload(ctx, p.Ref)
	}
	return state, state.Status.Ended() || state.Status == Stuck, err
}
