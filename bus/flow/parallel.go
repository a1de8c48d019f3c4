package flow

import "context"

// Promise is a step that runs at the same time as others, by [All] or [Race]. It has a
// value once they have returned.
type Promise[T any] struct {
	name  string
	fn    func(ctx context.Context) (T, error)
	opts  []StepOption
	value T
	err   error
}

// Branch is a [Promise] of any type.
type Branch interface{ branch(run *Run) *branch }

// Parallel describes a step of [All] or [Race]. It runs under the same rules as a
// [Step], with a key, retries and a time-out of its own, but on a goroutine of its own:
// fn must not share variables with other branches, nor use the run, except for
// [Run.Key] and [Run.ID].
func Parallel[T any](name string, fn func(ctx context.Context) (T, error), opts ...StepOption) *Promise[T] {
	return &Promise[T]{name: name, fn: fn, opts: opts}
}

// Value is the branch's result. It is the zero value if the branch failed, lost its
// race or was cancelled.
func (p *Promise[T]) Value() T { return p.value }

// Err is the terminal error of the branch, if it has one.
func (p *Promise[T]) Err() error { return p.err }

// branch makes a call out of the promise. What fn returns becomes the promise's value
// only once it is the branch's outcome.
func (p *Promise[T]) branch(run *Run) *branch {
	run.claim(p.name)
	b := &branch{call: call{kind: kindBranch, name: p.name, opts: stepOptionsOf(run, p.name, p.opts)}}
	var out T
	b.run = func(ctx context.Context) ([]byte, error) {
		v, err := p.fn(ctx)
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
	b.load = func(raw []byte) error { return decode(raw, &p.value) }
	b.accept = func() { p.value = out }
	b.fail = func(err error) { p.err = err }
	return b
}

// All runs the branches at the same time and returns when each has an outcome: nil, or
// the terminal error of the first in the order of the arguments that has one. Every
// outcome is a record of its own: after a crash only branches without one run again.
//
// A cancel lets running attempts end and starts nothing new; the error is
// [ErrCancelled] then, whatever the branches have come to.
func All(run *Run, branches ...Branch) error {
	g := run.group(kindAll, branches)
	if err := g.replayAll(); err != nil || g.left == 0 {
		return firstError(g.branches, err)
	}
	return firstError(g.branches, g.perform(func(b *branch, rec *record) bool {
		rec.Kind = kindBranch
		g.record(b, rec, len(rec.Err) > 0)
		return false
	}))
}

func firstError(branches []*branch, err error) error {
	for _, b := range branches {
		if err == nil {
			err = b.err
		}
	}
	return err
}

// Race runs the branches at the same time until one has an outcome, a value or a
// terminal error, and returns its place in the arguments and that error. The others'
// contexts are cancelled, and Race waits until they have returned; what they have done
// is up to them, or to compensations. Who has won is stored before anything follows
// from it.
//
// A cancel lets running attempts end; the result is -1 and [ErrCancelled] then.
func Race(run *Run, branches ...Branch) (int, error) {
	g := run.group(kindRace, branches)
	if len(branches) == 0 {
		run.inst.park("a race without branches has no end")
	}
	winner, err := g.replayRace()
	if winner != nil || err != nil {
		return g.place(winner, err)
	}
	err = g.perform(func(b *branch, rec *record) bool {
		g.stop()
		winner, g.left = b, 0
		rec.Kind, rec.Hash = kindRace, g.hash
		g.record(b, rec, true)
		return true
	})
	return g.place(winner, err)
}

func (g *group) place(winner *branch, err error) (int, error) {
	for i, b := range g.branches {
		if b == winner && err == nil {
			return i, b.err
		}
	}
	return -1, err
}
