package flow

import (
	"context"
	"time"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/telemetry"
)

// ErrTimedOut is what [Await] returns when the signal did not come in time.
var ErrTimedOut = contract.NewError(contract.Deadline, "flow_signal_timed_out", "the signal did not come in time")

// Await takes the next signal with this name, and waits for it if there is none. A
// signal that came before, even before the flow began to wait, is kept; one that was
// sent twice with the same id counts once. within bounds the wait; 0 means no end.
//
// A signal whose body is no T is dropped with a warning, and the wait goes on: whoever
// sent it must not be able to end a flow.
func Await[T any](run *Run, signal string, within time.Duration) (T, error) {
	var out T
	if !contract.ValidID(signal) {
		run.inst.park("the signal name " + signal + " cannot be used: 1 to 64 of A-Z a-z 0-9 _ -")
	}
	if within < 0 || within > longestTimer {
		return out, ErrBadTimer.Sayf("the wait for the signal %s is %v: it must be between nothing and ten years", signal, within)
	}
	var until func() time.Time
	if within > 0 {
		until = func() time.Time { return time.Now().Add(within) }
	}
	err := run.receive(kindSignal, signal, signal, until, func(raw []byte) error { return decode(raw, &out) })
	return out, err
}

// awaitUntil is [Await] with a time instead of a period.
func awaitUntil[T any](run *Run, signal string, due time.Time) (T, error) {
	var out T
	err := run.receive(kindSignal, signal, signal, func() time.Time { return due }, func(raw []byte) error { return decode(raw, &out) })
	return out, err
}

// receive takes the oldest letter called mail, waiting for it where it has to; until,
// if any, names when the wait is over at the latest.
func (r *Run) receive(k kind, name, mail string, until func() time.Time, load func([]byte) error) error {
	in := r.inst
	r.outside(name)
	if r.cancelled {
		return in.cancelError()
	}
	if rec := r.replay(k, name, ""); rec != nil {
		if rec.Outcome == outcomeTimedOut {
			return timedOut(name)
		}
		return r.repeat(rec, call{name: name, load: load})
	}
	open := in.open
	for {
		l, ok := in.j.find(mail)
		if ok {
			body := r.bodyOf(l)
			if err := load(body); err != nil {
				in.logDropped(name, err)
				in.j.discard(l)
				continue
			}
			out, ref := in.stash(body)
			r.recordFrom(l, &record{Kind: k, Name: name, Out: out, Ref: ref})
			return nil
		}
		if in.cancelRequested() {
			return r.observeCancel()
		}
		if open == nil {
			open = &record{Index: r.next, Kind: k, Name: name, At: time.Now().UnixMilli()}
			if until != nil {
				open.Due = ceilMilli(until())
			}
		}
		if open.Due > 0 && time.Now().UnixMilli() >= open.Due {
			r.record(&record{Kind: k, Name: name, Due: open.Due, Outcome: outcomeTimedOut}, true)
			return timedOut(name)
		}
		in.proceed()
		in.rest(open, func() bool { _, ok := in.j.find(mail); return ok })
	}
}

func timedOut(signal string) error {
	return ErrTimedOut.Sayf("the signal %s did not come in time", signal)
}

// bodyOf returns what a letter says.
func (r *Run) bodyOf(l letter) []byte {
	if l.body != nil {
		return l.body
	}
	in := r.inst
	var s Stored
	if !in.read(func(ctx context.Context) (err error) {
		s, err = in.eng.log.At(ctx, l.Seq)
		return err
	}) {
		in.proceed() // it has to leave
		leave()
	}
	return in.fetch(s.Data, headerOf(s.Header, headerRef))
}

// recordFrom closes the next operation with a letter. What was taken is stored before
// anything follows from it: another order of letters would be another story.
func (r *Run) recordFrom(l letter, rec *record) {
	in := r.inst
	rec.Index, rec.At = r.next, time.Now().UnixMilli()
	r.next++
	in.open = nil
	in.history = append(in.history, *rec)
	in.recorded = in.j.addFrom(l, rec)
	in.barrier = in.recorded
}

func (in *instance) logDropped(name string, err error) {
	in.eng.telemetry.Logger.Warn("a signal that cannot be used was dropped",
		in.attrs(telemetry.KeyStep, name, telemetry.KeyError, err.Error())...)
}

// Signal hands an instance a signal and returns once it is stored. Sending it again
// with the same id changes nothing. v is what [Await] returns; nil stands for an empty
// object.
//
// It fails with [ErrNotFound] and [ErrEnded]; a flow that ends before it asks for the
// signal never sees it.
func (c *Client) Signal(ctx context.Context, name, id, signal, signalID string, v any) error {
	if err := contract.CheckID("/signal", signal); err != nil {
		return err
	}
	if err := contract.CheckID("/signal_id", signalID); err != nil {
		return err
	}
	body, err := encodeSignal(v)
	if err != nil {
		return contract.ErrInvalid.At("/data").Sayf("the signal cannot be sent: %v", err)
	}
	if err := c.open(ctx, name, id); err != nil {
		return err
	}
	msg, err := c.inputMessage(ctx, inputSignal, name, id, "", body)
	if err != nil {
		return err
	}
	if err := lighten(ctx, c.payloads, msg); err != nil {
		return unavailable(err)
	}
	msg.Header[headerSignal] = []string{signal}
	msg.Header[headerInput] = []string{signal + "/" + signalID}
	return c.append(ctx, msg, bus.NoExpectation)
}

func encodeSignal(v any) ([]byte, error) {
	if v == nil {
		return []byte("{}"), nil
	}
	return encode(v)
}
