package flow

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/contract"
)

// An alarm is a schedule in the stream: at its time the server puts an input on the
// instance's inbox, whichever worker lives then. It is a hint, may come twice or for a
// wait that is over, and is late by up to 280 ms, on a replicated stream 470: it is set
// early by that much, and the worker that it wakes waits for the rest by its own clock. Each wait has a subject of
// its own, so that a writer that was fenced cannot replace another one's alarm.

// Headers of schedules. The client library's own option cuts times to whole seconds.
const (
	headerSchedule       = "Nats-Schedule"
	headerScheduleTarget = "Nats-Schedule-Target"
	headerScheduler      = "Nats-Scheduler"
	headerScheduleNext   = "Nats-Schedule-Next"

	codeNoSchedule = 10212 // there is no schedule (any more) to be cancelled
)

// alarmLead is how much before the due time an alarm is set.
const alarmLead = 500 * time.Millisecond

// alarmSubject names the alarm of the wait that open stands for.
func (j *journal) alarmSubject(service string, open *record) string {
	token := strconv.Itoa(j.origin.Gen) + "-" + strconv.Itoa(open.Index)
	if open.Tries > 0 {
		token += "-" + strconv.Itoa(open.Tries)
	}
	return contract.FlowTimer(service, j.origin.Flow, j.origin.ID, token)
}

// setAlarm stores an alarm and returns once that is acknowledged. Until then the
// inputs are held, so trying on for ever loses nothing.
func (in *instance) setAlarm(subject string, due time.Time) {
	msg := &nats.Msg{Subject: subject, Header: nats.Header{
		headerSchedule:       {"@at " + due.Add(-alarmLead).UTC().Format(time.RFC3339Nano)},
		headerScheduleTarget: {in.inbox()},
		headerKind:           {string(inputTimer)},
	}}
	pause := Retry{First: 20 * time.Millisecond, Max: time.Second, Factor: 2}
	for tries := 1; in.eng.alive(); tries++ {
		err := in.eng.send(in.ctx, msg, bus.NoExpectation)
		if err == nil {
			return
		}
		in.logTrouble("the wait cannot be scheduled yet", tries, err)
		in.sleep(pause.pause(tries, nil))
		if in.halted() != haltNever {
			break
		}
	}
	in.stop(haltNow)
	leave()
}

// send appends one message and waits for the acknowledgement.
func (e *engine) send(ctx context.Context, msg *nats.Msg, expect uint64) error {
	done := make(chan error, 1)
	e.log.Append(msg, expect, func(_ uint64, err error) { done <- err })
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("append to %s: %w", msg.Subject, ctx.Err())
	}
}

// expectAlarm notes that an alarm is going to be set for the current wait, and with it
// that the one of an earlier wait is not needed any more. It reports whether it has to
// be set: it may be there already. held says that inputs are held until it is set.
func (j *journal) expectAlarm(subject string, held bool) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.held = held
	if j.alarm == subject {
		missing := j.unsure
		j.unsure = false
		return missing && subject != ""
	}
	j.unsure = false
	if j.alarm != "" {
		j.stale = j.alarm
	}
	j.alarm = subject
	return subject != ""
}

// restoreAlarm notes the alarm that a former activation may have set, or not come to
// set, for the wait at which its journal ends.
func (j *journal) restoreAlarm(service string, p page) {
	if p.Open == nil || p.Open.Intent {
		return
	}
	due := p.Open.Due
	if d := p.Deadline; p.Open.Kind.cancellable() && (due == 0 || (d > 0 && d < due)) {
		due = d
	}
	if due-p.Open.At >= shortRest.Milliseconds() {
		j.alarm, j.unsure = j.alarmSubject(service, p.Open), true
	}
}

// rang notes that an alarm has gone off: the server has removed it.
func (j *journal) rang(subject string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.alarm == subject {
		j.alarm = ""
	}
	if j.stale == subject {
		j.stale = ""
	}
}

// revoke makes the message that was just built remove a schedule that nobody needs any
// more; j.mu is held. Only an end and another wait do, and only while an input is held:
// otherwise the alarm may be the one thing that would wake the flow up after a crash.
// One that stays was due anyway, and goes off late.
func (j *journal) revoke() {
	if j.final && j.stale == "" {
		j.stale = j.alarm
	}
	if j.revoking = j.held && j.stale != "" && (j.final || j.waiting); j.revoking {
		j.msg.Header = nats.Header{headerScheduler: {j.stale}, headerScheduleNext: {"purge"}}
	}
}

// revoked is called when the message under way is stored; j.mu is held.
func (j *journal) revoked() {
	if j.revoking {
		j.revoking, j.stale = false, ""
	}
}

// unrevoke gives up removing a schedule that has gone off meanwhile: the server stores
// no message that removes nothing.
func (j *journal) unrevoke(err error) {
	if e, ok := errors.AsType[*bus.APIError](err); !ok || e.ErrCode != codeNoSchedule {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.revoked()
	delete(j.msg.Header, headerScheduler)
	delete(j.msg.Header, headerScheduleNext)
}
