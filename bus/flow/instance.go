package flow

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

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
	ctx      context.Context //nolint:containedctx // the partition's life; steps derive theirs from it
	name, id string
	spec     spec
	ended    func(*instance)           // takes it out of its partition
	fenced   func(*instance, []*input) // has the journal read anew for these inputs

	j        *journal
	base     context.Context //nolint:containedctx // parent of the steps' contexts
	args     []byte          // the flow's input
	history  []record        // closed records; the flow's goroutine only
	open     *record         // the step under way; the flow's goroutine only
	barrier  uint64          // journal version that must be stored before anything else happens
	recorded uint64          // journal version of the last closed record
	over     bool            // the end is recorded; the flow's goroutine only
	inside   bool            // it has a slot to execute in; the flow's goroutine only
	woke     bool            // by a cancel, from being stuck; the flow's goroutine only

	beyond func(k kind, name string) // set by a check: told what comes where the history ends, instead of doing it

	halt atomic.Int32
	wake chan struct{}

	mu     sync.Mutex
	held   []*input // delivered and not acknowledged
	cancel string   // reason of the requested cancel
	want   bool     // a cancel is requested
	late   bool     // the deadline cancelled it; written by the flow's goroutine
	gone   bool     // takes no more inputs
}

func newInstance(ctx context.Context, e *engine, first *input) *instance {
	return &instance{eng: e, ctx: ctx, name: first.name, id: first.id, wake: make(chan struct{}, 1), held: []*input{first}}
}

// attach puts the instance on a journal and takes in what arrived before.
func (in *instance) attach(j *journal, s spec, args []byte) {
	in.spec, in.args, in.base = s, args, stepContext(in.ctx, j.origin)
	if in.history == nil {
		in.history = make([]record, 0, 4)
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	in.j = j
	for _, h := range append([]*input(nil), in.held...) {
		in.take(h)
	}
	if j.base == 0 {
		j.version = 0 // nothing to store yet but what the first message has in any case
	}
}

// newJournal returns an empty journal for an instance with this origin.
func (in *instance) newJournal(o origin) *journal {
	j := &journal{
		ctx: in.ctx, log: in.eng.log, subject: contract.FlowLog(in.eng.service, in.name, in.id), owner: in,
		writer: in.eng.writer(), origin: o, status: Running, prefix: o.append(make([]byte, 0, 256)),
	}
	j.changed.L = &j.mu
	j.buf, j.page, j.ends = borrow(), borrow(), j.few[:0]
	return j
}

// settle is called once the end is stored: answer first, then acknowledge what
// brought us here.
func (in *instance) settle(e ending) {
	held := in.leaveInputs()
	replies := in.listeners(e, in.j.waiters())
	if hasParent(replies) {
		go in.settled(e, held, replies) // a parent is told over the network
	} else {
		in.settled(e, held, replies)
	}
}

func (in *instance) settled(e ending, held []*input, replies []string) {
	told := len(replies) == 0 || in.tell(replies, e)
	var waking []*input
	if e.Status == Stuck {
		held, waking = in.overtaken(held)
	}
	failpoint.Hit("flow.answered")
	for _, h := range held {
		if told {
			h.ack()
		}
	}
	failpoint.Hit("flow.input_acked")
	giveBack(in.j.buf)
	giveBack(in.j.page)
	in.eng.metrics.of(in.name).finished(e.Status, in.j.origin.At)
	in.ended(in)
	if len(waking) > 0 {
		in.fenced(in, waking)
	}
}

// listeners are those who are told of an ending. A parent waits on while its child is
// stuck: a person will mend that.
func (in *instance) listeners(e ending, replies []string) []string {
	if e.Status != Stuck || !hasParent(replies) {
		return replies
	}
	return slices.DeleteFunc(slices.Clone(replies), func(r string) bool { return strings.HasPrefix(r, parentPrefix) })
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

// written counts a stored message.
func (in *instance) written(size int) { in.eng.metrics.written(size) }

// live is the flow's goroutine. When it leaves without an end, nobody holds the
// inputs any more: they are not acknowledged and come again, here or elsewhere.
func (in *instance) live(f func()) {
	defer func() {
		in.stepAside()
		if !in.over {
			in.leaveInputs()
			in.ended(in)
		}
	}()
	if in.admit() {
		f()
	}
}

// run runs the function once the journal is at hand.
func (in *instance) run() {
	for panics := 1; ; panics++ {
		r := &Run{inst: in}
		out, crash, err := in.call(r)
		if next, ok := err.(continued); ok && crash == nil { //nolint:errorlint // only the function itself may say so
			in.renew(next.input)
			in.proceed() // a function without any step must not turn on the spot
			panics = 0
			continue
		}
		if crash == nil {
			in.conclude(r, out, err)
			return
		}
		if panics >= panicAttempts {
			in.park(fmt.Sprintf("the flow's function panicked %d times: %v", panics, crash))
		}
		in.sleep(Retry{}.withDefaults().pause(panics, nil))
		in.proceed()
	}
}

// call runs the function once. A panic between steps is returned as crash.
func (in *instance) call(r *Run) (out []byte, crash any, err error) {
	defer func() {
		if v := recover(); v != nil {
			in.logPanic("", v)
			crash = v
		}
	}()
	out, err = in.spec.run(r, in.args)
	return out, nil, err
}

// conclude ends the flow as the function, or a cancel, decided.
func (in *instance) conclude(r *Run, out []byte, err error) {
	_, bad := errors.AsType[unrecordable](err)
	if left := r.unfinished(); left != nil {
		in.park(fmt.Sprintf("the code does not follow the journal: at index %d the journal has %s, the code ends",
			left.Index, describe(left.Kind, left.Name, left.Hash)))
	}
	switch {
	case bad:
		in.park(fmt.Sprintf("the flow's result cannot be journaled: %v", err))
	case r.cancelled:
		r.compensate()
		status := Cancelled
		if in.late {
			status = Failed
		}
		in.finish(ending{Status: status, Error: contract.EncodeError(in.cancelError()), Reason: in.cancelReason()})
	case err == nil:
		_, ref := in.stash(out)
		in.finish(ending{Status: Completed, Result: out, Ref: ref})
	default:
		r.compensate()
		in.logFailed(err)
		in.finish(ending{Status: Failed, Error: contract.EncodeError(contract.AsError(err)), Reason: brief(err.Error())})
	}
}

// finish records the end; the goroutine is over then, the rest follows when it is
// stored.
func (in *instance) finish(e ending) {
	in.over = true
	in.mu.Lock()
	held := len(in.held) > 0
	in.mu.Unlock()
	in.j.finish(e, held || !hasParent(in.j.waiters()))
}

// park makes the flow stuck and ends the goroutine. A cancel that waits for the next
// step wakes the flow again, once: what it cannot get over keeps it stuck.
func (in *instance) park(reason string) {
	in.logStuck(reason)
	in.markSeen(in.woke || in.j.undoing())
	in.finish(ending{Status: Stuck, Reason: brief(reason)})
	leave()
}

// parkOpen parks and keeps what is known of the step under way.
func (in *instance) parkOpen(reason string) {
	in.j.setOpen(in.open)
	in.park(reason)
}
