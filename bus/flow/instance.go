package flow

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/failpoint"
)

// How far an instance has been told to stop.
const (
	haltNever = iota
	haltSoon  // finish the running step, store it, then leave
	haltNow   // leave; whatever is under way belongs to nobody
)

// instance is one flow in memory: the inputs that it holds, its journal and the
// goroutine that runs its function.
type instance struct {
	eng      *engine
	name, id string
	spec     spec
	ended    func(*instance) // takes it out of its partition
	fenced   func(*instance, []*input)

	j       *journal
	base    context.Context //nolint:containedctx // parent of the steps' contexts
	args    []byte          // the flow's input
	history []record        // closed records; the flow's goroutine only
	open    *record         // the step under way; the flow's goroutine only
	barrier uint64          // journal version that must be stored before anything else happens

	halt atomic.Int32
	wake chan struct{}

	mu     sync.Mutex
	held   []*input // delivered and not acknowledged
	cancel string   // reason of the requested cancel
	want   bool     // a cancel is requested
	gone   bool     // takes no more inputs
}

func newInstance(e *engine, first *input) *instance {
	return &instance{eng: e, name: first.name, id: first.id, wake: make(chan struct{}, 1), held: []*input{first}}
}

// offer hands over another input; false means that the instance has gone and the
// input needs a new one.
func (in *instance) offer(next *input) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.gone {
		return false
	}
	for i, h := range in.held {
		if h.sequence == next.sequence {
			in.held[i] = next // delivered again: this delivery is the one to answer
			return true
		}
	}
	in.held = append(in.held, next)
	if in.j != nil {
		in.take(next)
	}
	return true
}

// take acts on an input of a running instance; in.mu is held.
func (in *instance) take(next *input) {
	switch next.kind {
	case inputStart:
		if next.sequence != in.j.origin.Start && inputHash(next.body) != in.j.origin.Hash {
			in.refuse(next, ErrOtherInput)
			return
		}
		in.subscribe(next)
	case inputAttach:
		in.subscribe(next)
	case inputCancel:
		if !in.want {
			in.want, in.cancel = true, cancelReasonOf(next)
			in.nudge()
		}
	case inputRetry: // it did its work when the stuck flow was loaded
	}
}

func (in *instance) subscribe(next *input) {
	if next.reply != "" {
		in.j.answerTo(next.reply)
	}
}

// refuse answers and acknowledges one held input; in.mu is held.
func (in *instance) refuse(next *input, e *contract.Error) {
	for i, h := range in.held {
		if h == next {
			in.held = append(in.held[:i], in.held[i+1:]...)
			break
		}
	}
	if next.reply != "" {
		in.eng.answer(next.reply, encodeOutcome(ending{Status: Failed, Error: contract.EncodeError(e)}))
	}
	next.ack()
}

func cancelReasonOf(in *input) string {
	var body cancelBody
	if err := contract.UnmarshalLenient(in.body, &body); err != nil {
		return ""
	}
	return body.Reason
}

type cancelBody struct {
	Reason string `json:"reason"`
}

// nudge wakes the flow's goroutine from a pause.
func (in *instance) nudge() {
	select {
	case in.wake <- struct{}{}:
	default:
	}
}

// attach puts the instance on a journal and takes in what arrived before.
func (in *instance) attach(j *journal, s spec, args []byte) {
	in.spec, in.args, in.base = s, args, in.eng.stepContext(j.origin)
	in.mu.Lock()
	defer in.mu.Unlock()
	in.j = j
	for _, h := range append([]*input(nil), in.held...) {
		in.take(h)
	}
}

// newJournal returns an empty journal for an instance with this origin.
func (in *instance) newJournal(o origin) *journal {
	j := &journal{
		ctx: in.eng.ctx, log: in.eng.log, subject: contract.FlowLog(in.eng.service, in.name, in.id),
		writer: in.eng.writer(), origin: o, status: Running, prefix: o.append(nil),
		settled: in.settle, lost: in.lose, written: in.eng.metrics.written,
	}
	j.changed.L = &j.mu
	j.buf = *buffers.Get().(*[]byte) //nolint:forcetypeassert // the pool holds nothing else
	return j
}

// settle is called once the end is stored: answer first, then acknowledge what
// brought us here.
func (in *instance) settle(e ending) {
	held := in.leaveInputs()
	replies := in.j.waiters()
	if len(replies) > 0 {
		outcome := encodeOutcome(e)
		for _, reply := range replies {
			in.eng.answer(reply, outcome)
		}
	}
	failpoint.Hit("flow.answered")
	for _, h := range held {
		h.ack()
	}
	failpoint.Hit("flow.input_acked")
	buf := in.j.buf
	buffers.Put(&buf)
	in.eng.metrics.of(in.name).ended[e.Status].Inc()
	in.ended(in)
}

// leaveInputs makes the instance take no more inputs and returns those it held.
func (in *instance) leaveInputs() []*input {
	in.mu.Lock()
	defer in.mu.Unlock()
	held := in.held
	in.gone, in.held = true, nil
	return held
}

// lose is called when the journal belongs to somebody else, or could not be written:
// no answer, no acknowledgement.
func (in *instance) lose(err error) {
	in.stop(haltNow)
	held := in.leaveInputs()
	in.eng.metrics.of(in.name).fenced.Inc()
	in.eng.telemetry.Logger.Warn("flow stopped", in.attrs("error", err.Error())...)
	in.ended(in)
	in.fenced(in, held)
}

// stop tells the instance to leave.
func (in *instance) stop(how int32) {
	for {
		now := in.halt.Load()
		if now >= how || in.halt.CompareAndSwap(now, how) {
			break
		}
	}
	in.nudge()
	if how == haltNow {
		in.mu.Lock()
		j := in.j
		in.mu.Unlock()
		if j != nil {
			j.stop()
		}
	}
}

func (in *instance) halted() int32 { return in.halt.Load() }

// live is the flow's goroutine.
func (in *instance) live(f func()) {
	running := in.eng.metrics.of(in.name).running
	running.Inc()
	defer running.Dec()
	f()
}

// run runs the function once the journal is at hand.
func (in *instance) run() {
	for panics := 1; ; panics++ {
		r := &Run{inst: in}
		out, err, crash := in.call(r)
		if crash == nil {
			in.conclude(r, out, err)
			return
		}
		if panics >= panicAttempts {
			in.park(fmt.Sprintf("the flow's function panicked %d times: %v", panics, crash))
		}
		in.sleep(Retry{}.withDefaults().pause(panics, nil), false)
		in.proceed()
	}
}

// call runs the function once. A panic between steps is returned as crash.
func (in *instance) call(r *Run) (out []byte, err error, crash any) { //nolint:revive // crash is no error
	defer func() {
		if v := recover(); v != nil {
			in.logPanic("", v)
			crash = v
		}
	}()
	out, err = in.spec.run(r, in.args)
	return out, err, nil
}

// conclude ends the flow as the function, or a cancel, decided.
func (in *instance) conclude(r *Run, out []byte, err error) {
	var bad unrecordable
	switch {
	case errors.As(err, &bad):
		in.park(fmt.Sprintf("the flow's result cannot be journaled: %v", err))
	case r.cancelled:
		r.compensate()
		in.j.finish(ending{Status: Cancelled, Error: contract.EncodeError(in.cancelError()), Reason: in.cancelReason()})
	case err == nil:
		in.j.finish(ending{Status: Completed, Result: out})
	default:
		r.compensate()
		in.logFailed(err)
		in.j.finish(ending{Status: Failed, Error: contract.EncodeError(contract.AsError(err)), Reason: brief(err.Error())})
	}
}

// park makes the flow stuck and ends the goroutine.
func (in *instance) park(reason string) {
	in.logStuck(reason)
	in.markSeen()
	in.j.finish(ending{Status: Stuck, Reason: brief(reason)})
	in.halt.Store(haltNow)
	leave()
}

// markSeen notes the ids of all held inputs: none of them may wake the flow again.
func (in *instance) markSeen() {
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, h := range in.held {
		if h.inputID != "" {
			in.j.take(h.inputID)
		}
	}
}

// parkOpen parks and keeps what is known of the step under way.
func (in *instance) parkOpen(reason string) {
	in.j.setOpen(in.open)
	in.park(reason)
}

// proceed is passed before anything happens to the world: the ownership must be
// young, what went before on its way, and what cannot be repeated stored.
func (in *instance) proceed() {
	switch {
	case in.halted() == haltNow:
		leave()
	case in.halted() == haltSoon:
		in.settleRecords()
		in.stop(haltNow)
		in.leaveInputs()
		in.ended(in)
		leave()
	case !in.eng.alive():
		in.stop(haltNow)
		leave()
	}
	if in.barrier > 0 {
		barrier := in.barrier
		in.barrier = 0
		if !in.j.await(barrier) {
			leave()
		}
		return
	}
	in.j.flush()
}

// settleRecords waits until everything recorded so far is stored.
func (in *instance) settleRecords() {
	in.j.mu.Lock()
	version := in.j.version
	in.j.mu.Unlock()
	if !in.j.await(version) {
		leave()
	}
}

// leaveOpen stores what is known of the step under way.
func (in *instance) leaveOpen(open *record, wait bool) {
	in.open = open
	version := in.j.setOpen(open)
	if !wait {
		in.j.flush()
		return
	}
	if !in.j.await(version) {
		leave()
	}
}

// sleep waits for d, or until the instance is told to leave or, where that matters,
// is cancelled.
func (in *instance) sleep(d time.Duration, cancellable bool) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for in.halted() == haltNever && (!cancellable || !in.cancelRequested()) {
		select {
		case <-timer.C:
			return
		case <-in.eng.ctx.Done():
			in.stop(haltNow)
		case <-in.wake:
		}
	}
}

// sleepUntil waits for what is left of a pause that began before a crash. Clocks of
// two machines may differ: it never takes longer than the longest pause.
func (in *instance) sleepUntil(due int64, longest time.Duration, cancellable bool) {
	if left := time.Until(time.UnixMilli(due)); due > 0 && left > 0 {
		in.sleep(min(left, longest), cancellable)
	}
}

func (in *instance) cancelRequested() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.want
}

func (in *instance) cancelReason() string {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.cancel
}

// setCancelReason restores the reason that the journal knows.
func (in *instance) setCancelReason(reason string) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.cancel = reason
}

func (in *instance) cancelError() *contract.Error {
	if reason := in.cancelReason(); reason != "" {
		return ErrCancelled.Sayf("the flow was cancelled: %s", reason)
	}
	return ErrCancelled
}
