package flow

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/failpoint"
)

// group is a number of branches that run at the same time. The flow's goroutine alone
// decides and records; a branch's goroutine does one attempt and tells how it ended.
type group struct {
	run      *Run
	kind     kind
	name     string
	hash     string // of the branches' names and inputs
	branches []*branch
	left     int // how many have no outcome
	running  int // attempts under way
	ended    chan attempted
	cancel   context.CancelFunc
	ctx      context.Context //nolint:containedctx // of the attempts; ends with the group
}

// branch is one step of a group.
type branch struct {
	call
	accept func()      // makes the last attempt's result the outcome
	fail   func(error) // tells the promise its terminal error

	running bool
	done    bool
	err     error
	tries   int
	last    string
	at      int64
	due     time.Time // of the next attempt
	intent  bool      // an attempt that must not be repeated may have happened
}

// attempted is how one attempt ended.
type attempted struct {
	branch *branch
	raw    []byte
	err    error
	began  time.Time
}

// group takes the names of the branches and restores what the journal knows of their
// attempts.
func (r *Run) group(k kind, branches []Branch) *group {
	g := &group{run: r, kind: k, left: len(branches), ended: make(chan attempted, len(branches))}
	var names, all []string
	for _, b := range branches {
		b := b.branch(r)
		g.branches = append(g.branches, b)
		names = append(names, b.name)
		all = append(all, b.name, b.opts.hash)
	}
	g.name = brief(strings.Join(names, ","))
	g.hash = inputHash([]byte(strings.Join(all, "\n")))
	return g
}

func (g *group) find(name string) *branch {
	for _, b := range g.branches {
		if b.name == name {
			return b
		}
	}
	return nil
}

// recorded finds the next record of the journal, if there is one: it must be one of the
// group's. A cancel that was observed instead is an error.
func (g *group) recorded(k kind) (rec *record, found bool, err error) {
	r := g.run
	in := r.inst
	if r.cancelled {
		return nil, false, in.cancelError()
	}
	if r.next >= len(in.history) {
		return nil, false, nil
	}
	rec = &in.history[r.next]
	if rec.Kind != k && rec.Kind != kindCancel {
		in.park("the code does not follow the journal: " + rec.differs(g.kind, g.name, g.hash))
	}
	r.next++
	if rec.Kind == kindCancel {
		return nil, false, r.repeat(rec, call{})
	}
	return rec, true, nil
}

// replayAll gives the branches the outcomes that the journal has. They were recorded in
// the order in which they came.
func (g *group) replayAll() error {
	for g.left > 0 {
		rec, found, err := g.recorded(kindBranch)
		if !found {
			return err
		}
		b := g.find(rec.Name)
		if b == nil || b.done || b.opts.hash != rec.Hash {
			g.run.inst.park("the code does not follow the journal: " + rec.differs(g.kind, g.name, g.hash))
		}
		g.repeat(b, rec)
		g.left--
	}
	return nil
}

// replayRace gives the winner the outcome that the journal has.
func (g *group) replayRace() (*branch, error) {
	rec, found, err := g.recorded(kindRace)
	if !found {
		return nil, err
	}
	b := g.find(rec.Name)
	if b == nil || rec.Hash != g.hash {
		g.run.inst.park("the code does not follow the journal: " + rec.differs(g.kind, g.name, g.hash))
	}
	g.repeat(b, rec)
	return b, nil
}

func (g *group) repeat(b *branch, rec *record) {
	b.done = true
	if b.err = g.run.repeat(rec, b.call); b.err != nil {
		b.fail(b.err)
	}
}

// resume takes over where the journal ends.
func (g *group) resume() {
	in := g.run.inst
	open := in.open
	if open != nil {
		if text := open.differs(g.kind, g.name, g.hash); text != "" {
			in.park("the code does not follow the journal: " + text)
		}
	}
	if in.beyond != nil {
		in.beyond(g.kind, g.name)
		leave()
	}
	if open == nil {
		return
	}
	for i := range open.Branches {
		sub := &open.Branches[i]
		b := g.find(sub.Name)
		if b == nil || b.done {
			continue
		}
		b.tries, b.last, b.at, b.intent = sub.Tries, sub.Last, sub.At, sub.Intent
		if sub.Due > 0 {
			b.due = time.UnixMilli(sub.before(b.opts.retry.Max).Due)
		}
	}
}

// open is what the journal shows of branches that have no outcome; nil when there is
// nothing to say.
func (g *group) open() *record {
	open := &record{Index: g.run.next, Kind: g.kind, Name: g.name, Hash: g.hash, At: time.Now().UnixMilli()}
	for _, b := range g.branches {
		if b.done || (b.tries == 0 && !b.intent) {
			continue
		}
		sub := record{Index: open.Index, Kind: kindBranch, Name: b.name, Hash: b.opts.hash, At: b.at, Tries: b.tries, Last: b.last, Intent: b.intent}
		if !b.due.IsZero() {
			sub.Due = b.due.UnixMilli()
		}
		open.Branches = append(open.Branches, sub)
		open.Tries += b.tries
	}
	if len(open.Branches) == 0 {
		return nil
	}
	if due := g.due(); !due.IsZero() {
		open.Due = due.UnixMilli()
	}
	return open
}

// due is when the next attempt is; the zero time means at once, or that nobody pauses.
func (g *group) due() (due time.Time) {
	for _, b := range g.branches {
		switch {
		case b.done || b.running:
		case b.due.IsZero():
			return b.due // the pauses of others do not hold it up
		case due.IsZero() || b.due.Before(due):
			due = b.due
		}
	}
	return due
}

// perform runs the branches until each has an outcome or take says that this one was
// enough.
func (g *group) perform(take func(b *branch, rec *record) (enough bool)) error {
	r := g.run
	in := r.inst
	g.resume()
	if in.cancelRequested() {
		return r.observeCancel()
	}
	r.inside, r.parallel = g.name, true
	defer func() { r.inside, r.parallel = "", false }()
	g.ctx, g.cancel = context.WithCancel(in.base)
	defer g.stop()
	for g.left > 0 {
		switch {
		case in.halted() == haltNow:
			leave()
		case in.halted() != haltNever || in.cancelRequested():
			if g.running == 0 {
				in.proceed() // leaves, if it has to
				return r.observeCancel()
			}
		case g.running == 0 && time.Until(g.due()) > 0:
			in.rest(g.open(), nil)
			continue
		default:
			g.begin()
		}
		a, ok := g.wait()
		if !ok {
			continue
		}
		if rec := g.judge(a); rec != nil && take(a.branch, rec) {
			return nil
		}
	}
	return nil
}

// begin starts the attempts that are due.
func (g *group) begin() {
	in := g.run.inst
	var ready []*branch
	once := false
	for _, b := range g.branches {
		if !b.done && !b.running && time.Until(b.due) <= 0 {
			ready = append(ready, b)
			once = once || b.opts.once
		}
	}
	if len(ready) == 0 {
		return
	}
	in.proceed()
	for _, b := range ready {
		if b.intent {
			in.open = g.open()
			in.parkOpen(inDoubt(b.name, "its intent is journaled, its result is not"))
		}
		b.intent = b.opts.once
	}
	if once {
		in.leaveOpen(g.open(), true)
	}
	for _, b := range ready {
		g.attempt(b)
	}
}

// attempt calls the branch's step once, on another goroutine.
func (g *group) attempt(b *branch) {
	in := g.run.inst
	b.running, b.due = true, time.Time{}
	b.tries++
	g.running++
	patience := in.patience(b.call)
	go func() {
		a := attempted{branch: b, err: errGone, began: time.Now()}
		defer func() { g.ended <- a }() // there is room for all
		a.raw, a.err = in.attempt(g.ctx, b.call, patience)
	}()
}

// errGone is the error of an attempt whose goroutine was ended by the step itself.
var errGone = errors.New("the step has ended its goroutine")

// stop ends what still runs and waits for it.
func (g *group) stop() {
	g.cancel()
	for ; g.running > 0; g.running-- {
		a := <-g.ended
		a.branch.running = false
	}
}

// wait returns the next attempt that has ended; false means that something else has
// happened.
func (g *group) wait() (attempted, bool) {
	in := g.run.inst
	var again <-chan time.Time
	if due := g.due(); !due.IsZero() && in.halted() == haltNever && !in.cancelRequested() {
		timer := time.NewTimer(time.Until(due))
		defer timer.Stop()
		again = timer.C
	}
	select {
	case a := <-g.ended:
		g.running--
		a.branch.running = false
		return a, true
	case <-again:
	case <-in.ctx.Done():
		in.stop(haltNow)
	case <-in.wake:
	}
	return attempted{}, false
}

// judge turns an attempt into the branch's record, or nil when it will be repeated.
func (g *group) judge(a attempted) *record {
	in, b := g.run.inst, a.branch
	in.eng.metrics.of(in.name).tried(a.began, a.err)
	failpoint.Hit("flow.step_done")
	if in.halted() == haltNow {
		leave() // whatever the error says, it may be the halt
	}
	if a.err == nil {
		out, ref := in.stash(a.raw)
		b.accept()
		return &record{Name: b.name, Hash: b.opts.hash, Tries: b.tries, Out: out, Ref: ref}
	}
	b.at, b.last = time.Now().UnixMilli(), brief(a.err.Error())
	v := b.judge(b.tries, a.err)
	switch {
	case v.park != "":
		b.intent = v.intent
		g.stop()
		in.open = g.open()
		in.parkOpen(v.park)
	case v.final != nil:
		b.err = v.final
		b.fail(v.final)
		in.logRefused(b.name, b.tries, a.err)
		return &record{Name: b.name, Hash: b.opts.hash, Tries: b.tries, Err: contract.EncodeError(v.final), Last: b.last}
	}
	in.logRetry(b.name, b.tries, a.err)
	b.due = time.UnixMilli(ceilMilli(time.Now().Add(b.opts.retry.pause(b.tries, a.err))))
	in.open = g.open()
	in.j.setOpen(in.open)
	return nil
}

// record stores a branch's outcome, together with what is known of the others.
func (g *group) record(b *branch, rec *record, volatile bool) {
	r := g.run
	in := r.inst
	b.done = true
	g.left--
	rec.Index, rec.At = r.next, time.Now().UnixMilli()
	r.next++
	in.history = append(in.history, *rec)
	in.open = nil
	if g.left > 0 {
		in.open = g.open()
	}
	version := in.j.addBeside(rec, in.open)
	if volatile {
		in.barrier = version
	}
	if b.opts.durable || b.opts.once {
		in.settleRecords()
	}
}

// addBeside is add where other operations are under way and stay so.
func (j *journal) addBeside(r, open *record) uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	version := j.addLocked(r, nil)
	j.open = open
	return version
}
