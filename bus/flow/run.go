package flow

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"time"

	"github.com/ordermesh/ordermesh/bus/contract"
)

// Run is one execution of a flow's function: the handle for its steps. It belongs to
// the goroutine that runs the function, is no context on purpose (calls belong into
// steps, which get one), and is worthless once the function has returned.
type Run struct {
	inst      *instance
	next      int // index of the next operation
	names     names
	undo      []call
	inside    string // name of the step that is running, or of those that run at the same time
	parallel  bool   // it is the latter, on goroutines of their own
	uuids     int
	cancelled bool
}

// ID is the instance's id.
func (r *Run) ID() string { return r.inst.id }

// Key is the idempotency key of a step or compensation: the same at every attempt
// and every replay of this instance, different for every other. Effects carry it as
// their command id, so that a repeated attempt is recognised at the far side.
func (r *Run) Key(step string) string {
	sum := r.inst.digest(step)
	return base32.StdEncoding.EncodeToString(sum[:])[:26]
}

// digest hashes something that belongs to one generation of one instance.
func digest(o origin, subject, what string) [sha256.Size]byte {
	text := subject + "\x00" + what
	if o.Gen > 0 {
		text += "\x00" + strconv.Itoa(o.Gen)
	}
	return sha256.Sum256([]byte(text))
}

// Now reads the clock once and remembers it: a replay sees the same time. The next
// step begins only when the reading is stored.
func (r *Run) Now() time.Time {
	in := r.inst
	r.outside("now")
	if rec := r.replay(kindNow, "", ""); rec != nil {
		var t time.Time
		if err := decode(rec.Out, &t); err != nil {
			in.park(fmt.Sprintf("the clock reading at index %d cannot be read: %v", rec.Index, err))
		}
		return t
	}
	now := time.Now().UTC().Round(0)
	raw, err := encode(now)
	if err != nil {
		in.park(err.Error())
	}
	r.record(&record{Kind: kindNow, Out: raw}, true)
	return now
}

// outside refuses operations inside of a step: their order would not be determined.
func (r *Run) outside(name string) {
	if r.inside == "" {
		return
	}
	text := fmt.Sprintf("%q is inside of the step %q: steps cannot be nested", name, r.inside)
	if r.parallel {
		panic(nestedError(text))
	}
	r.inst.park(text)
}

// claim takes a name. Names are unique within an instance, because keys derive from
// them.
func (r *Run) claim(name string) {
	r.outside(name)
	if !contract.ValidID(name) {
		r.inst.park(fmt.Sprintf("step name %q cannot be used: 1 to %d of A-Z a-z 0-9 _ -", name, contract.MaxID))
	}
	if !r.names.add(name) {
		r.inst.park(fmt.Sprintf("step name %q is used twice: names must be unique within a flow", name))
	}
}

// names is a set of step names. Most flows have a handful, for which a slice does.
type names struct {
	room [8]string
	few  []string
	many map[string]struct{}
}

// add reports whether the name is new.
func (n *names) add(name string) bool {
	const few = 16
	if n.few == nil {
		n.few = n.room[:0]
	}
	if n.many == nil && len(n.few) < few {
		if slices.Contains(n.few, name) {
			return false
		}
		n.few = append(n.few, name)
		return true
	}
	if n.many == nil {
		n.many = make(map[string]struct{}, 4*few)
		for _, known := range n.few {
			n.many[known] = struct{}{}
		}
	}
	_, twice := n.many[name]
	n.many[name] = struct{}{}
	return !twice
}

// replay returns the journal's record of the next operation, or nil when the journal
// ends before it. Where the function does something else than the journal says, the
// flow is parked.
func (r *Run) replay(k kind, name, hash string) *record {
	in := r.inst
	if r.next < len(in.history) {
		rec := &in.history[r.next]
		if rec.Kind == kindCancel && k.cancellable() {
			r.next++
			return rec
		}
		if text := rec.differs(k, name, hash); text != "" {
			in.park("the code does not follow the journal: " + text)
		}
		r.next++
		return rec
	}
	if open := in.open; open != nil {
		if text := open.differs(k, name, hash); text != "" {
			in.park("the code does not follow the journal: " + text)
		}
	}
	if in.beyond != nil {
		in.beyond(k, name)
		leave()
	}
	return nil
}

// unfinished is what the journal has where the function has ended; compensations follow
// the function.
func (r *Run) unfinished() *record {
	left := r.inst.open
	if r.next < len(r.inst.history) {
		left = &r.inst.history[r.next]
	}
	if left == nil || left.Kind == kindUndo || r.inst.beyond != nil { // a check says more
		return nil
	}
	return left
}

// record closes the next operation. Nothing that follows a volatile record may
// happen before it is stored: repeating it would give another result.
func (r *Run) record(rec *record, volatile bool) {
	in := r.inst
	r.close(rec)
	in.recorded = in.j.add(rec)
	if volatile {
		in.barrier = in.recorded
	}
}

// recordCheap closes the next operation, which may run again after those that follow.
func (r *Run) recordCheap(rec *record) {
	r.close(rec)
	r.inst.recorded = r.inst.j.addCheap(rec)
}

// close gives the next operation its outcome.
func (r *Run) close(rec *record) {
	in := r.inst
	rec.Index, rec.At = r.next, time.Now().UnixMilli()
	r.next++
	in.open = nil
	in.history = append(in.history, *rec)
}

// Compensate registers how to undo what came before it. When the flow fails or is
// cancelled, the registered functions run in reverse order, each as a journaled step
// of its own with the key run.Key(name), and each until it succeeds.
//
// Register it before the step whose effect it undoes: a step that timed out may have
// taken effect although it returned an error. fn must therefore cope with nothing to
// undo. A refusal that fn returns parks the flow: a person has to look.
func Compensate(run *Run, name string, fn func(ctx context.Context) error, opts ...StepOption) {
	run.claim(name)
	c := call{kind: kindUndo, name: name, opts: stepOptionsOf(run, name, opts)}
	c.run = func(ctx context.Context) ([]byte, error) { return nil, fn(ctx) }
	run.register(c)
}

// register adds a compensation. The function does not run ahead of the journal beyond
// it: were the results before it lost with the process, a cancel that is found then
// would end the flow where this was not registered yet, and nobody would undo what
// follows it.
func (r *Run) register(c call) {
	r.undo = append(r.undo, c)
	if in := r.inst; !in.j.covers(in.recorded) {
		in.barrier = max(in.barrier, in.recorded)
	}
}

// compensate runs what was registered, last first.
func (r *Run) compensate() {
	if len(r.undo) == 0 {
		return
	}
	// Undoing must not begin on account of results that a crash could still change.
	r.inst.settleRecords()
	r.inst.j.enter(Compensating)
	for _, c := range slices.Backward(r.undo) {
		if err := r.do(c); err != nil {
			r.inst.park(fmt.Sprintf("the compensation %s failed: %v", c.name, err))
		}
	}
}

// leave ends the flow's goroutine from anywhere in the user's function. Deferred
// functions run; a recover in between does not stop it.
func leave() { runtime.Goexit() }
