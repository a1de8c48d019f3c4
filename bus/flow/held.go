package flow

import (
	"slices"

	"github.com/ordermesh/ordermesh/bus/contract"
)

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
	in.eng.clock.note(next.at)
	switch next.kind {
	case inputStart:
		if next.sequence != in.j.origin.Start && next.hash() != in.j.origin.Hash {
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
	case inputSignal, inputOutcome:
		if in.j.post(next.letter()) {
			in.drop(next)
			next.handBack()
			return
		}
		in.nudge()
	case inputTimer:
		in.j.rang(next.scheduler)
		in.nudge()
	case inputGone: // a delivery that has lost its way
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
	in.drop(next)
	if next.reply != "" && !hasParent([]string{next.reply}) {
		in.eng.answer(next.reply, encodeOutcome(ending{Status: Failed, Error: contract.EncodeError(e)}))
	}
	next.ack()
}

// drop forgets one held input; in.mu is held.
func (in *instance) drop(next *input) {
	in.held = slices.DeleteFunc(in.held, func(h *input) bool { return h == next })
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

// leaveInputs makes the instance take no more inputs and returns those it held.
func (in *instance) leaveInputs() []*input {
	in.mu.Lock()
	defer in.mu.Unlock()
	held := in.held
	in.gone, in.held = true, nil
	return held
}

// markSeen notes the ids of all held inputs: none of them may wake the flow again. It
// leaves out a cancel that has still to take hold.
func (in *instance) markSeen(cancels bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, h := range in.held {
		if h.inputID != "" && (cancels || h.kind != inputCancel) {
			in.j.take(h)
		}
	}
}

// overtaken splits off what a flow that got stuck has to be woken by: it came while the
// end was on its way to the log, or is a cancel that has not taken hold.
func (in *instance) overtaken(held []*input) (done, waking []*input) {
	for _, h := range held {
		switch {
		case (h.kind == inputRetry || h.kind == inputCancel) && h.inputID != "" && !in.j.took(h.inputID):
			waking = append(waking, h)
		case h.kind.kept():
			h.handBack() // it may have come after the end was written
		default:
			done = append(done, h)
		}
	}
	return done, waking
}

func (in *instance) cancelRequested() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.want || in.overdue()
}

func (in *instance) cancelReason() string {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.cancel
}

// setCancelReason restores what the journal knows of a cancel.
func (in *instance) setCancelReason(reason string, late bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.cancel, in.late = reason, late
}

// settleCancel decides, once, whether a person or the deadline cancels the flow.
func (in *instance) settleCancel() (late bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if !in.want {
		in.late, in.cancel = true, "deadline"
	}
	return in.late
}

func (in *instance) cancelError() *contract.Error {
	if in.late {
		return ErrDeadline
	}
	if reason := in.cancelReason(); reason != "" {
		return ErrCancelled.Sayf("the flow was cancelled: %s", reason)
	}
	return ErrCancelled
}
