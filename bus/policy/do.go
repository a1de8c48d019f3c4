package policy

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/telemetry"
)

// Call is what an executor must know of a call.
type Call struct {
	Name       string           // for the log, such as "provider.authorize"
	Start      time.Time        // zero is now
	Deadline   time.Time        // of all of it; zero is that of the context
	Repeatable bool             // doing it twice does no harm
	Reads      bool             // it changes nothing: it may be done twice at the same time
	Failed     func(error) bool // what counts against the destination; nil is Failed
}

// Do runs attempt under all of the executor's policy. The attempt must end when its
// context does, and may be run several times at once if the call only reads.
func Do[T any](ctx context.Context, e *Executor, c Call, attempt func(context.Context) (T, error)) (T, error) {
	return Repeat(ctx, e, c, attempt, func(ctx context.Context, attempt func(context.Context) (T, error), _ int) (T, error) {
		return Race(ctx, e, c, attempt, func(ctx context.Context, attempt func(context.Context) (T, error)) (T, error) {
			return Guard(ctx, e, c, attempt, func(ctx context.Context, attempt func(context.Context) (T, error)) (T, error) {
				if limit := e.Timeout(); limit > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, limit)
					defer cancel()
				}
				return attempt(ctx)
			})
		})
	})
}

// Repeat runs attempt until it succeeds, must not be repeated, or the next pause would not
// fit into the call's deadline; try counts from 1. The last error is returned. It is for
// chains that are built once: attempt takes arg so that it need not be made for each call.
func Repeat[A, T any](ctx context.Context, e *Executor, c Call, arg A, attempt func(ctx context.Context, arg A, try int) (T, error)) (T, error) {
	e.current.Load().budget.deposit()
	began := c.Start
	if began.IsZero() {
		began = time.Now()
	}
	for try := 1; ; try++ {
		v, err := attempt(ctx, arg, try)
		if err == nil {
			return v, nil
		}
		pause, again := e.again(ctx, &c, try, time.Since(began), err)
		if !again {
			return v, err
		}
		if !rest(ctx, pause) {
			return v, context.Cause(ctx)
		}
		began = time.Now()
	}
}

// again decides whether a failed attempt, which took so long, is repeated, and after which
// pause.
func (e *Executor) again(ctx context.Context, c *Call, try int, took time.Duration, err error) (pause time.Duration, ok bool) {
	p := e.current.Load()
	retry := p.calls.Retry
	if !c.Repeatable || retry.Off || try >= retry.Attempts || ctx.Err() != nil {
		return 0, false
	}
	asked, ok := p.calls.passing(err, took)
	if !ok {
		return 0, false
	}
	pause = retry.pause(try, asked)
	deadline := c.Deadline
	if deadline.IsZero() {
		deadline, _ = ctx.Deadline()
	}
	if !deadline.IsZero() && time.Until(deadline) <= pause {
		return 0, false
	}
	if !local(err) && !p.budget.withdraw() {
		e.count.unpaid.Add(1)
		e.meters.unpaid.Inc()
		return 0, false
	}
	e.count.repeats.Add(1)
	e.meters.repeats.Inc()
	if e.log.Enabled(ctx, slog.LevelDebug) {
		e.log.LogAttrs(ctx, slog.LevelDebug, "calling again", slog.String(telemetry.KeyMethod, c.Name),
			slog.Int(telemetry.KeyAttempt, try), slog.Duration(telemetry.KeyDelay, pause), slog.String(telemetry.KeyError, err.Error()))
	}
	return pause, true
}

// Guard runs one attempt behind the limits and the breaker.
func Guard[A, T any](ctx context.Context, e *Executor, c Call, arg A, attempt func(context.Context, A) (T, error)) (T, error) {
	p := e.current.Load()
	if p.limits.none && p.breaker != nil {
		if permit, ok := p.breaker.closed(); ok { // as most calls are
			e.count.attempts.Add(1)
			v, err := attempt(ctx, arg)
			if err != nil || p.breaker.dirty.Load() {
				e.settle(p, permit, c.judge(err), err)
			}
			return v, err
		}
	}
	return guarded(ctx, e, p, c, arg, attempt)
}

// guarded is Guard in full.
func guarded[A, T any](ctx context.Context, e *Executor, p *rules, c Call, arg A, attempt func(context.Context, A) (T, error)) (v T, err error) {
	leave, permit, err := e.enter(ctx, p)
	if err != nil {
		return v, err
	}
	o := unknown
	defer func() { // also when the attempt panics
		leave.after(o)
		e.settle(p, permit, o, err)
	}()
	e.count.attempts.Add(1)
	v, err = attempt(ctx, arg)
	o = c.judge(err)
	return v, err
}

// enter passes the limits and the breaker. An open breaker refuses before an attempt
// waits for its turn.
func (e *Executor) enter(ctx context.Context, p *rules) (leave leaving, permit permit, err error) {
	if p.breaker != nil {
		if err := p.breaker.refuses(); err != nil {
			return leave, permit, e.refused(err)
		}
	}
	if leave, err = p.limits.enter(ctx, &p.calls); err != nil {
		return leave, permit, e.refused(err)
	}
	if p.breaker != nil {
		if permit, err = p.breaker.enter(); err != nil {
			leave.after(unknown)
			return leave, permit, e.refused(err)
		}
	}
	return leave, permit, nil
}

// refused counts an attempt that was not made, and says whose policy that was.
func (e *Executor) refused(err error) error {
	refusal, ok := errors.AsType[*contract.Error](err)
	if !ok {
		return err
	}
	if refusal.Code == contract.Unavailable {
		e.count.kept.Add(1)
		e.meters.kept.Inc()
		return refusal.Sayf("%s fails and is left alone by %s for a while", e.destination, e.service)
	}
	e.count.limited.Add(1)
	e.meters.limited.Inc()
	return refusal.Sayf("%s has as many calls to %s as it may have", e.service, e.destination)
}

func (e *Executor) settle(p *rules, permit permit, o outcome, err error) {
	reason := ""
	if o == bad {
		e.count.failures.Add(1)
		e.meters.failures.Inc()
		reason = err.Error()
	}
	if p.breaker != nil {
		p.breaker.settle(permit, o, reason)
	}
}

// outcome is what an attempt says about the destination.
type outcome int

const (
	unknown outcome = iota // nothing: the attempt was given up, or this side is to blame
	good                   // it answers
	bad                    // it does not
)

func (c *Call) judge(err error) outcome {
	failed := c.Failed
	if failed == nil {
		failed = Failed
	}
	switch {
	case err == nil:
		return good
	case failed(err):
		return bad
	case errors.Is(err, context.Canceled):
		return unknown
	}
	return good
}

// Failed reports whether an error counts against the destination.
func Failed(err error) bool {
	e, ok := errors.AsType[*contract.Error](err)
	if !ok {
		return !errors.Is(err, context.Canceled)
	}
	switch e.Code { //nolint:exhaustive // the others are answers
	case contract.Unavailable:
		return e.Reason != ErrOpen.Reason
	case contract.Internal, contract.Deadline:
		return true
	}
	return false
}
