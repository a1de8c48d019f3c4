package flow

import (
	"context"
	"fmt"
	"sync"

	"github.com/nats-io/nats.go"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/telemetry"
)

// Rehearsal runs one instance over any [Log] with the engine that workers run, but
// without a server, partitions or leases. It is what package flowtest is made of;
// services use [Worker].
type Rehearsal struct {
	Flow  Registered
	ID    string
	Input any
	Log   Log
	Alive func() bool // false makes the instance leave at its next step, like a lapsed ownership; nil means always
}

// rehearsed is the service name of rehearsals.
const rehearsed = "rehearsal"

// Run stores the start input unless the log has it, loads the journal and runs the
// instance until it ends or is stuck; ok is false when it left before, because ctx
// ended, Alive said so, or another writer had the journal. Running it again with the
// same log is what another worker would do after a crash.
func (r Rehearsal) Run(ctx context.Context) (state State, ok bool, err error) {
	s := r.Flow.registered()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	first, err := r.start(ctx, s)
	if err != nil {
		return State{}, false, err
	}
	quiet := telemetry.Nop()
	flows := catalogue{flowVersion{s.name, s.version}: s}
	e := &engine{
		service: rehearsed, session: fmt.Sprintf("rehearsal-%p", &first), log: r.Log, flows: flows,
		partitions: 1, reading: make(chan struct{}, 1), telemetry: quiet, metrics: newMetrics(quiet, rehearsed, flows),
		alive: r.Alive, answer: func(string, []byte) {},
	}
	if e.alive == nil {
		e.alive = func() bool { return true }
	}
	ended := make(chan struct{})
	var once sync.Once
	in := newInstance(ctx, e, first)
	in.ended = func(*instance) { once.Do(func() { close(ended) }) }
	in.fenced = func(*instance, []*input) {}
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		in.live(in.load)
	}()
	select {
	case <-ended:
	case <-ctx.Done():
		in.stop(haltNow)
	}
	<-gone
	return r.state(context.WithoutCancel(ctx), s)
}

// start returns the start input, which it stores first where it is missing.
func (r Rehearsal) start(ctx context.Context, s spec) (*input, error) {
	inbox := contract.FlowInput(rehearsed, 0, s.name, r.ID)
	stored, err := findStart(ctx, r.Log, inbox)
	if err != nil {
		return nil, err
	}
	if stored.Sequence == 0 {
		body, err := inputOf(r.ID, r.Input)
		if err != nil {
			return nil, err
		}
		msg := &nats.Msg{Subject: inbox, Data: body, Header: nats.Header{headerKind: {string(inputStart)}, headerVersion: {fmt.Sprint(s.version)}}}
		done := make(chan error, 1)
		r.Log.Append(msg, 0, func(_ uint64, err error) { done <- err })
		if err := <-done; err != nil {
			return nil, err
		}
		if stored, err = findStart(ctx, r.Log, inbox); err != nil {
			return nil, err
		}
	}
	in, err := readInput(stored.Subject, stored.Header, stored.Data)
	if err != nil {
		return nil, err
	}
	in.sequence, in.at, in.delivered = stored.Sequence, stored.Time, 2
	return in, nil
}

// state reads how far the instance has come.
func (r Rehearsal) state(ctx context.Context, s spec) (State, bool, error) {
	last, err := r.Log.Last(ctx, contract.FlowLog(rehearsed, s.name, r.ID))
	if err != nil || last.Sequence == 0 {
		return State{}, false, err
	}
	p, err := decodePage(last.Data)
	if err != nil {
		return State{}, false, err
	}
	history, err := loadHistory(ctx, r.Log, p)
	state := stateOf(p, history)
	return state, state.Status.Ended() || state.Status == Stuck, err
}
