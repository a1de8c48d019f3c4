package flow

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/telemetry"
)

// Child is a flow that another one has started.
type Child[Out any] struct {
	run      *Run
	name, id string
	done     bool // its outcome is known, or it is none of ours
	out      Out
	err      error
}

type childOptions struct{ detached bool }

// ChildOption changes how a child flow is started.
type ChildOption func(*childOptions)

// Detached lets a child go its own way: it is not cancelled with its parent and does
// not tell it how it ended.
func Detached() ChildOption { return func(o *childOptions) { o.detached = true } }

// StartChild starts a flow of the same service and returns once that is stored. As
// with [Start] the same id and input find the child that is there, another input gives
// [ErrOtherInput].
//
// When the parent fails or is cancelled, its children are cancelled in their turn
// among its compensations, unless they are [Detached] or their outcome is known. The
// parent does not wait until they have undone what they did. A function starts an id
// once.
func StartChild[In, Out any](run *Run, d Definition[In, Out], id string, in In, opts ...ChildOption) (*Child[Out], error) {
	var o childOptions
	for _, opt := range opts {
		opt(&o)
	}
	inst := run.inst
	body, err := inputOf(id, in)
	if err != nil {
		return nil, err
	}
	child := &Child[Out]{run: run, name: d.name, id: id}
	run.outside(child.ref())
	if !run.names.add(child.ref()) {
		inst.park(fmt.Sprintf("the child %s is started twice", child.ref()))
	}
	if !o.detached {
		run.register(call{
			kind: kindUndo, name: child.ref(), opts: stepOptionsOf(run, child.ref(), nil),
			run: func(ctx context.Context) ([]byte, error) {
				if child.done {
					return nil, nil
				}
				return nil, inst.eng.cancelChild(ctx, d.name, id, run.Key(child.ref()))
			},
		})
	}
	c := call{kind: kindChild, name: child.ref(), opts: stepOptionsOf(run, child.ref(), nil)}
	c.opts.hash = inputHash(body)
	c.run = func(ctx context.Context) ([]byte, error) {
		parent := ""
		if !o.detached {
			parent = inst.asParent()
		}
		return nil, inst.eng.startChild(ctx, d.spec, id, body, parent)
	}
	if err := run.do(c); err != nil {
		child.done = errors.Is(err, ErrOtherInput)
		return nil, err
	}
	return child, nil
}

func (c *Child[Out]) ref() string { return c.name + "/" + c.id }

// ID is the child's id.
func (c *Child[Out]) ID() string { return c.id }

// Await waits until the child has ended and returns its result, or the error with
// which it failed. It must not be called on a [Detached] child, which tells nobody.
func (c *Child[Out]) Await() (Out, error) {
	if c.done {
		return c.out, c.err
	}
	var o outcome
	err := c.run.receive(kindOutcome, c.ref(), outcomeMail(c.name, c.id, c.run.inst.j.origin.Gen), nil, func(raw []byte) (err error) {
		o, err = decodeOutcome(raw)
		return err
	})
	if err != nil {
		return c.out, err
	}
	c.done = true
	c.out, c.err = resultOf[Out](o, nil)
	return c.out, c.err
}

// parentPrefix marks a reply subject that is no subject: the outcome is an input of
// another flow.
const parentPrefix = "flow:"

// isClient reports whether a reply subject is one: who waits there can ask again.
func isClient(reply string) bool { return !strings.HasPrefix(reply, parentPrefix) }

// asParent is what children answer to. Each generation is a parent of its own: it may
// start a child of the one before again, and has to hear of it again.
func (in *instance) asParent() string {
	parent := parentPrefix + in.name + "." + in.id
	if gen := in.j.origin.Gen; gen > 0 {
		parent += "." + strconv.Itoa(gen)
	}
	return parent
}

const outcomePrefix = "outcome of "

// outcomeMail is what the letter with a child's outcome is called. No signal can be
// called so.
func outcomeMail(name, id string, gen int) string {
	return outcomePrefix + name + "/" + id + generation(gen)
}

func generation(gen int) string {
	if gen == 0 {
		return ""
	}
	return " in " + strconv.Itoa(gen)
}

// outdated reports whether a letter is for a former generation, which cannot ask for it
// any more; j.mu is held.
func (j *journal) outdated(l letter) bool {
	return strings.HasPrefix(l.Name, outcomePrefix) && !strings.HasSuffix(l.Name, generation(j.origin.Gen))
}

// startChild appends the start of a child, or joins the one that is there.
func (e *engine) startChild(ctx context.Context, s spec, id string, body []byte, parent string) error {
	inbox := e.inbox(s.name, id)
	msg := &nats.Msg{Subject: inbox, Data: body, Header: nats.Header{
		headerKind: {string(inputStart)}, headerVersion: {strconv.Itoa(s.version)}, headerFirst: {"1"},
	}}
	if parent != "" {
		msg.Header[headerReply] = []string{parent}
	}
	telemetry.Inject(ctx, msg.Header)
	if err := lighten(ctx, e.payloads, msg); err != nil {
		return err
	}
	err := e.send(ctx, msg, 0)
	if err == nil {
		return secure(ctx, e.payloads, msg, body)
	}
	if !errors.Is(err, bus.ErrConflict) {
		return err
	}
	start, err := findStart(ctx, e.log, inbox)
	switch {
	case err != nil:
		return err
	case start.Sequence == 0: // another input came first
		delete(msg.Header, headerFirst)
		return e.send(ctx, msg, bus.NoExpectation)
	case !sameBody(start.Header, msg.Header, start.Data, msg.Data):
		return ErrOtherInput.Sayf("a flow %s %s was started with another input", s.name, id)
	case parent == "" || headerOf(start.Header, headerReply) == parent:
		return nil // it is ours
	}
	attach := &nats.Msg{Subject: inbox, Header: nats.Header{
		headerKind: {string(inputAttach)}, headerReply: {parent}, headerInput: {parent},
	}}
	return e.send(ctx, attach, bus.NoExpectation)
}

// cancelChild asks a child to stop. One that has ended does not care.
func (e *engine) cancelChild(ctx context.Context, name, id, inputID string) error {
	body, err := contract.Marshal(cancelBody{Reason: "its parent was stopped"})
	if err != nil {
		return err
	}
	return e.send(ctx, &nats.Msg{Subject: e.inbox(name, id), Data: body, Header: nats.Header{
		headerKind: {string(inputCancel)}, headerInput: {inputID},
	}}, bus.NoExpectation)
}

// tell gives the outcome to everybody who waits for it. A parent is told by an input,
// which has to be stored before the child's own inputs may go: tell reports whether
// that has come about.
func (in *instance) tell(replies []string, e ending) bool {
	outcome := encodeOutcome(e)
	for _, reply := range replies {
		parent, ok := strings.CutPrefix(reply, parentPrefix)
		if !ok {
			in.eng.answer(reply, outcome)
			continue
		}
		if !in.tellParent(parent, e) {
			return false
		}
	}
	return true
}

// tellParent repeats a large result under the parent's name: the child's own goes with
// the child.
func (in *instance) tellParent(parent string, e ending) bool {
	name, id, ok := strings.Cut(parent, ".")
	id, text, later := strings.Cut(id, ".")
	gen, err := strconv.Atoi(text)
	if !ok || !contract.ValidID(name) || !contract.ValidID(id) || (later && err != nil) {
		return true
	}
	mail := outcomeMail(in.name, in.id, gen)
	pause := Retry{First: 20 * time.Millisecond, Max: time.Second, Factor: 2}
	for tries := 1; in.eng.alive(); tries++ {
		err := in.eng.sendOutcome(in.ctx, in.eng.inbox(name, id), mail, e)
		if err == nil {
			return true
		}
		in.logTrouble("the parent cannot be told yet", tries, err)
		if !within(in.ctx.Done(), pause.pause(tries, nil)) {
			continue
		}
		break
	}
	return false
}

func (e *engine) sendOutcome(ctx context.Context, inbox, mail string, end ending) error {
	if end.Ref != "" {
		if len(end.Result) == 0 {
			value, err := e.payloads.Payload(ctx, end.Ref)
			if err != nil {
				return err
			}
			end.Result = value
		}
		end.Ref = ""
	}
	msg := &nats.Msg{Subject: inbox, Data: encodeOutcome(end), Header: nats.Header{
		headerKind: {string(inputOutcome)}, headerSignal: {mail}, headerInput: {mail},
	}}
	if err := lighten(ctx, e.payloads, msg); err != nil {
		return err
	}
	return e.send(ctx, msg, bus.NoExpectation)
}

// hasParent reports whether somebody has to be told by an input.
func hasParent(replies []string) bool {
	for _, reply := range replies {
		if strings.HasPrefix(reply, parentPrefix) {
			return true
		}
	}
	return false
}

// inbox is the subject of an instance's inputs.
func (e *engine) inbox(name, id string) string {
	return contract.FlowInput(e.service, partitionOf(name, id, e.partitions), name, id)
}

func (in *instance) inbox() string { return in.eng.inbox(in.name, in.id) }

// continued is how a function says that it goes on as a new one.
type continued struct{ input []byte }

func (continued) Error() string { return "the flow continues as new" }

// ContinueAsNew ends this execution and begins the flow again with another input under
// the same id: for flows without end, whose journal would grow for ever. Return what it
// returns:
//
//	return flow.ContinueAsNew[Out](run, next)
//
// Signals that nobody has taken, the reported progress, who waits for the result and
// the deadline stay; registered compensations are forgotten. Keys of steps are others
// in each generation. The flow goes on with the newest version that this build has.
func ContinueAsNew[Out, In any](run *Run, in In) (Out, error) {
	var out Out
	run.outside("continue as new")
	if run.cancelled {
		return out, run.inst.cancelError()
	}
	body, err := encode(in)
	if err != nil {
		return out, unrecordable{err}
	}
	return out, continued{body}
}

// renew begins the next generation.
func (in *instance) renew(input []byte) {
	o := in.j.origin
	o.Gen++
	o.Input, o.InputRef = in.stash(input)
	if s, ok := in.eng.flows.newest(o.Flow, o.Version); ok {
		in.spec, o.Version = s, s.version
	}
	in.args, in.history, in.open = input, make([]record, 0, 4), nil
	in.mu.Lock() // inputs are compared with the origin
	defer in.mu.Unlock()
	in.barrier = in.j.renew(o)
}

// renew replaces everything recorded by a new origin.
func (j *journal) renew(o origin) uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.origin, j.prefix = o, o.append(make([]byte, 0, 256+len(o.Input)))
	j.pages, j.page, j.pending, j.ends = nil, j.page[:0], j.pending[:0], j.ends[:0]
	j.open, j.waiting, j.fresh = nil, false, true
	j.mail = slices.DeleteFunc(j.mail, j.outdated)
	if j.alarm != "" {
		j.stale, j.alarm = j.alarm, ""
	}
	j.touch()
	return j.version
}

// newest finds the highest version of a flow from one on.
func (c catalogue) newest(name string, from int) (spec, bool) {
	best, ok := c.find(name, from)
	for v, s := range c {
		if v.name == name && v.version > best.version {
			best, ok = s, true
		}
	}
	return best, ok
}

// digest hashes something that belongs to this instance and generation.
func (in *instance) digest(what string) [32]byte {
	return digest(in.j.origin, in.j.subject, what)
}

func (in *instance) logTrouble(text string, tries int, err error) {
	if tries%10 == 1 {
		in.eng.telemetry.Logger.Warn(text, in.attrs(telemetry.KeyAttempt, tries, telemetry.KeyError, fmt.Sprint(err))...)
	}
}
