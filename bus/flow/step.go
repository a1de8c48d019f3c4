package flow

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/failpoint"
	"github.com/ordermesh/ordermesh/bus/telemetry"
)

// defaultTimeout bounds one attempt of a step that names no other.
const defaultTimeout = 30 * time.Second

type stepOptions struct {
	retry   Retry
	timeout time.Duration
	hash    string
	durable bool
	once    bool
	cheap   bool
	err     error
}

// StepOption changes how a step or a compensation runs.
type StepOption func(*stepOptions)

// WithRetry sets the step's retry policy.
func WithRetry(r Retry) StepOption { return func(o *stepOptions) { o.retry = r.withDefaults() } }

// WithTimeout bounds each attempt; the default is 30 s. An attempt that ran out of
// time is tried again like any other error.
func WithTimeout(d time.Duration) StepOption {
	return func(o *stepOptions) {
		if d <= 0 {
			o.err = fmt.Errorf("time-out %v", d)
			return
		}
		o.timeout = d
	}
}

// WithInput declares what the step works on. Its hash is journaled, and a replay in
// which the step would work on something else parks the flow.
func WithInput(v any) StepOption {
	return func(o *stepOptions) {
		raw, err := encode(v)
		o.hash, o.err = inputHash(raw), err
	}
}

// WithDurable makes the step return only when its result is stored: for a result
// that a second attempt with the same key would not repeat.
func WithDurable() StepOption { return func(o *stepOptions) { o.durable = true } }

// WithCheap is for a step that does no harm when it runs again although steps after it
// have run: its result may wait half a second for company before it is stored, and the
// next step does not send it on its way. Several cheap steps in a row so share one
// message. After a crash all of them run again, in their order and with their keys;
// nothing that has to wait for what came before it, such as a compensation or the end,
// waits any less.
func WithCheap() StepOption { return func(o *stepOptions) { o.cheap = true } }

// WithAtMostOnce is for an effect that cannot carry a key: the intent is stored
// before the attempt, and when afterwards the outcome is unknown (an error that is
// no refusal, a time-out, a crash) the flow is parked instead of trying again.
func WithAtMostOnce() StepOption { return func(o *stepOptions) { o.once = true } }

func stepOptionsOf(r *Run, name string, opts []StepOption) stepOptions {
	o := stepOptions{retry: Retry{}.withDefaults(), timeout: defaultTimeout}
	if len(opts) == 0 {
		return o
	}
	return o.with(r, name, opts)
}

func (o stepOptions) with(r *Run, name string, opts []StepOption) stepOptions {
	for _, opt := range opts {
		opt(&o)
	}
	if o.err != nil {
		r.inst.park(fmt.Sprintf("bad option of the step %q: %v", name, o.err))
	}
	return o
}

func inputHash(raw []byte) string {
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:8])
}

// Step runs fn and journals its result; after a crash the journaled result is
// returned and fn is not called again.
//
// fn is at least once: it runs again when the process dies between the effect and
// the record. Effects therefore carry run.Key(name). A refusal (contract.IsRefusal)
// is terminal: it is journaled and returned. Any other error, a time-out and a panic
// are tried again as the retry policy says. After a cancel every step returns
// [ErrCancelled] without running. The function should return an error it cannot
// handle: the flow then compensates and fails.
//
// The result is JSON, at most 16 MiB; what is larger than 256 KiB is kept in the object
// store and not in the journal.
func Step[T any](run *Run, name string, fn func(ctx context.Context) (T, error), opts ...StepOption) (T, error) {
	var out T
	run.claim(name)
	c := call{kind: kindStep, name: name, opts: stepOptionsOf(run, name, opts)}
	c.run = func(ctx context.Context) ([]byte, error) {
		v, err := fn(ctx)
		if err != nil {
			return nil, err
		}
		raw, err := encode(v)
		if err != nil {
			return nil, unrecordable{err}
		}
		out = v
		return raw, nil
	}
	c.load = func(raw []byte) error { return decode(raw, &out) }
	if err := run.do(c); err != nil {
		var zero T
		return zero, err
	}
	return out, nil
}

// call is one step or compensation without its type.
type call struct {
	kind kind
	name string
	opts stepOptions
	run  func(ctx context.Context) ([]byte, error)
	load func(raw []byte) error
}

// do replays or performs one call.
func (r *Run) do(c call) error {
	in := r.inst
	if r.cancelled && c.kind.cancellable() {
		return in.cancelError()
	}
	if rec := r.replay(c.kind, c.name, c.opts.hash); rec != nil {
		return r.repeat(rec, c)
	}
	if c.kind.cancellable() && in.cancelRequested() {
		return r.observeCancel()
	}
	in.proceed()
	return r.perform(c)
}

// repeat returns what the journal says.
func (r *Run) repeat(rec *record, c call) error {
	in := r.inst
	if rec.Kind == kindCancel {
		r.cancelled = true
		in.setCancelReason(rec.Last, rec.Outcome == outcomeDeadline)
		return in.cancelError()
	}
	if len(rec.Err) > 0 {
		return contract.DecodeError(rec.Err, "a step failed")
	}
	if c.load == nil {
		return nil
	}
	if err := c.load(in.fetch(rec.Out, rec.Ref)); err != nil {
		in.park(fmt.Sprintf("the journaled result of the step %q cannot be read: %v", c.name, err))
	}
	return nil
}

// observeCancel journals where the cancel took hold.
func (r *Run) observeCancel() error {
	in := r.inst
	r.cancelled = true
	in.markSeen(true)
	rec := &record{Kind: kindCancel}
	if in.settleCancel() {
		rec.Outcome = outcomeDeadline
	}
	rec.Last = brief(in.cancelReason())
	r.record(rec, true)
	return in.cancelError()
}

// perform tries until the step has an outcome.
func (r *Run) perform(c call) error {
	in := r.inst
	tries := 0
	if in.open != nil {
		if in.open.Intent {
			in.park(inDoubt(c.name, "its intent is journaled, its result is not"))
		}
		tries = in.open.Tries
		if tries > 0 {
			in.rest(in.open.before(c.opts.retry.Max), nil)
		}
	}
	for {
		if c.kind.cancellable() && tries > 0 && in.cancelRequested() {
			return r.observeCancel()
		}
		in.proceed()
		if c.opts.once {
			in.leaveOpen(&record{Index: r.next, Kind: c.kind, Name: c.name, Hash: c.opts.hash, Intent: true}, true)
		}
		tries++
		began := time.Now()
		raw, err := r.attempt(c)
		in.eng.metrics.of(in.name).tried(began, err)
		failpoint.Hit("flow.step_done")
		if in.halted() == haltNow {
			leave() // whatever err says, it may be the halt
		}
		if err == nil {
			out, ref := in.stash(raw)
			rec := &record{Kind: c.kind, Name: c.name, Hash: c.opts.hash, Tries: tries, Out: out, Ref: ref}
			if c.opts.cheap && !c.opts.durable && !c.opts.once {
				r.recordCheap(rec)
				return nil
			}
			r.record(rec, false)
			if c.opts.durable || c.opts.once {
				in.settleRecords()
			}
			return nil
		}
		if final, done := r.failed(c, tries, err); done {
			return final
		}
	}
}

// failed deals with an attempt's error: done means that the step has its outcome,
// otherwise the pause before the next attempt is over.
func (r *Run) failed(c call, tries int, err error) (final error, done bool) {
	in := r.inst
	open := &record{
		Index: r.next, Kind: c.kind, Name: c.name, Hash: c.opts.hash,
		At: time.Now().UnixMilli(), Tries: tries, Last: brief(err.Error()),
	}
	v := c.judge(tries, err)
	switch {
	case v.park != "":
		open.Intent = v.intent
		in.open = open
		in.parkOpen(v.park)
	case v.final != nil:
		r.record(&record{Kind: c.kind, Name: c.name, Hash: c.opts.hash, Tries: tries, Err: contract.EncodeError(v.final), Last: open.Last}, true)
		in.logRefused(c.name, tries, err)
		return v.final, true
	}
	in.logRetry(c.name, tries, err)
	pause := c.opts.retry.pause(tries, err)
	open.Due = time.Now().Add(pause).UnixMilli()
	in.rest(open, nil)
	return nil, false
}

// verdict is what follows from a failed attempt: the step is tried again, has failed for
// good, or the flow is stuck.
type verdict struct {
	final  *contract.Error
	park   string // why it is stuck
	intent bool   // and whether the step may have taken effect
}

func (c call) judge(tries int, err error) verdict {
	if nested, ok := errors.AsType[nestedError](err); ok {
		return verdict{park: nested.Error()}
	}
	crash, panicked := errors.AsType[panicError](err)
	_, bad := errors.AsType[unrecordable](err)
	refused := contract.IsRefusal(err) && !bad
	switch {
	case bad:
		return verdict{park: fmt.Sprintf("the result of the step %q cannot be journaled: %v", c.name, err)}
	case c.kind == kindUndo && (refused || c.opts.retry.exhausted(tries)):
		return verdict{park: fmt.Sprintf("the compensation %q failed: %v", c.name, err)}
	case refused || (c.opts.retry.exhausted(tries) && !c.opts.once):
		return verdict{final: stepError(c.name, tries, err)}
	case c.opts.once:
		return verdict{park: inDoubt(c.name, err.Error()), intent: true}
	case panicked && tries >= panicAttempts:
		return verdict{park: fmt.Sprintf("the step %q panicked %d times: %v", c.name, tries, crash.value)}
	}
	return verdict{}
}

func inDoubt(name, why string) string {
	return fmt.Sprintf("the step %q must not be repeated and may have taken effect: %s", name, why)
}

// before is the open record with a due time that is not further away than a pause can
// be: clocks of two machines differ.
func (r *record) before(longest time.Duration) *record {
	if latest := time.Now().Add(longest).UnixMilli(); r.Due > latest {
		shorter := *r
		shorter.Due = latest
		return &shorter
	}
	return r
}

// patience is how long an attempt may take.
func (in *instance) patience(c call) time.Duration {
	if deadline := in.deadline(); c.kind.cancellable() && !deadline.IsZero() {
		return min(c.opts.timeout, time.Until(deadline))
	}
	return c.opts.timeout
}

// attempt calls the step once.
func (r *Run) attempt(c call) ([]byte, error) {
	r.inside = c.name
	defer func() { r.inside = "" }()
	return r.inst.attempt(r.inst.base, c, r.inst.patience(c))
}

// attempt calls a step once, in a span if there are any. A panic becomes an error; its
// stack is logged.
func (in *instance) attempt(ctx context.Context, c call, patience time.Duration) (raw []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if tel := in.eng.telemetry; tel.Tracing() {
		var span trace.Span
		ctx, span = tel.Start(ctx, in.name+" "+c.name, trace.SpanKindInternal)
		in.describe(span, c.name)
		defer func() { telemetry.End(span, err) }()
	}
	defer func() {
		switch v := recover().(type) {
		case nil:
		case nestedError:
			raw, err = nil, v
		default:
			in.logPanic(c.name, v)
			raw, err = nil, panicError{v}
		}
	}()
	return c.run(ctx)
}
