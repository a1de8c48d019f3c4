package flow

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nuid"
	"github.com/robfig/cron/v3"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/telemetry"
)

// Overlap says what happens when a flow is due while the one before still runs.
type Overlap string

// The policies.
const (
	Skip       Overlap = "skip"   // it is left out; the default
	Queue      Overlap = "queue"  // it starts once the one before has ended; those that became due meanwhile are one
	CancelLast Overlap = "cancel" // the one before is cancelled
	Together   Overlap = "allow"  // both run
)

// Schedule starts a flow again and again. It is a flow itself, with the name
// "schedule" and the schedule's name as id: it can be looked at, cancelled, and started
// again, and needs no clock of its own anywhere.
//
// Each start has the id <schedule>-<time>, the time as 20060102T150405Z, so that it
// happens once whatever process dies. Times that passed while no worker was up are made
// up for by one start.
type Schedule struct {
	name string
	plan plan
	err  error
}

// Cron starts a flow at the times of a cron expression: five fields (minute, hour, day
// of month, month, day of week), or @hourly, @daily, @weekly, @monthly, @yearly. Times
// are UTC unless it begins with CRON_TZ=<zone>; a zone with summer time has one night in
// which a time between two and three does not come, and one in which it comes twice. What
// cannot be used is an error of [NewWorker].
func Cron[In, Out any](name, expression string, d Definition[In, Out], in In, overlap Overlap) Schedule {
	return newSchedule(name, plan{Cron: expression, Overlap: overlap}, d, in)
}

// Every starts a flow once in a period of at least a second, counted from when the
// schedule is first seen.
func Every[In, Out any](name string, period time.Duration, d Definition[In, Out], in In, overlap Overlap) Schedule {
	return newSchedule(name, plan{Every: period.Milliseconds(), Overlap: overlap}, d, in)
}

// startTime is the form of the time in the id of a flow that a schedule starts.
const startTime = "20060102T150405Z"

func newSchedule[In, Out any](name string, p plan, d Definition[In, Out], in In) Schedule {
	p.Flow, p.Version = d.name, d.version
	if p.Overlap == "" {
		p.Overlap = Skip
	}
	s := Schedule{name: name, plan: p}
	s.plan.Input, s.err = inputOf(name, in)
	if s.err == nil {
		s.err = s.plan.check()
	}
	if longest := contract.MaxID - len("-"+startTime); s.err == nil && len(name) > longest {
		s.err = fmt.Errorf("the name is longer than %d characters", longest)
	}
	if s.err == nil && len(s.plan.Input) > maxInline/2 {
		s.err = fmt.Errorf("an input of %d bytes is more than a schedule keeps (%d)", len(s.plan.Input), maxInline/2)
	}
	if s.err != nil {
		s.err = fmt.Errorf("flow: schedule %q: %w", name, s.err)
	}
	return s
}

// WithSchedules has the worker keep schedules of flows that it runs. A schedule that
// is there already is changed to what the worker was given; one that is left out goes
// on until it is cancelled.
func WithSchedules(schedules ...Schedule) Option {
	return func(o *workerOptions) error {
		for _, s := range schedules {
			if s.err != nil {
				return s.err
			}
		}
		o.schedules = append(o.schedules, schedules...)
		return nil
	}
}

// plan is the input of a schedule's flow.
type plan struct {
	Cron    string       `json:"cron,omitzero"`
	Every   int64        `json:"every,omitzero"` // milliseconds
	Overlap Overlap      `json:"overlap"`
	Flow    string       `json:"flow"`
	Version int          `json:"version"`
	Input   contract.Raw `json:"input"`

	After int64  `json:"after,omitzero"` // the last time that was dealt with, Unix milliseconds; 0 before the first
	Last  string `json:"last,omitzero"`  // id of the last flow that was started
}

func (p plan) check() error {
	switch p.Overlap {
	case Skip, Queue, CancelLast, Together:
	default:
		return fmt.Errorf("overlap policy %q: choose from %s, %s, %s, %s", p.Overlap, Skip, Queue, CancelLast, Together)
	}
	if p.Cron == "" {
		if p.Every < 1000 {
			return errors.New("the period must be a second or longer")
		}
		return nil
	}
	times, err := cron.ParseStandard(p.Cron)
	if err != nil {
		return fmt.Errorf("cron expression %q: %w", p.Cron, err)
	}
	if times.Next(time.Now()).IsZero() {
		return fmt.Errorf("cron expression %q: there is no such time", p.Cron)
	}
	return nil
}

// next is the first time after another.
func (p plan) next(after time.Time) (time.Time, error) {
	if p.Cron == "" {
		return after.Add(time.Duration(p.Every) * time.Millisecond), nil
	}
	times, err := cron.ParseStandard(p.Cron)
	if err != nil {
		return time.Time{}, fmt.Errorf("cron expression %q: %w", p.Cron, err)
	}
	return times.Next(after.UTC()), nil
}

// latest is the last time that is not after now, beginning with one that is not.
func (p plan) latest(due, now time.Time) (time.Time, error) {
	if p.Cron == "" {
		period := time.Duration(p.Every) * time.Millisecond
		return due.Add(now.Sub(due).Truncate(period)), nil
	}
	for {
		next, err := p.next(due)
		if err != nil || next.IsZero() || next.After(now) {
			return due, err
		}
		due = next
	}
}

// same reports whether two plans ask for the same.
func (p plan) same(q plan) bool {
	p.After, p.Last, q.After, q.Last = 0, "", 0, ""
	a, errA := contract.Marshal(p)
	b, errB := contract.Marshal(q)
	return errA == nil && errB == nil && string(a) == string(b)
}

// scheduleFlow is the name of schedules among the flows.
const scheduleFlow = "schedule"

// changeSignal carries a new plan.
const changeSignal = "change"

var scheduling = Define(scheduleFlow, 1, keepSchedule)

// keepSchedule waits for the next time, starts the flow, and begins anew.
func keepSchedule(run *Run, p plan) (none, error) {
	if p.After == 0 {
		p.After = run.Now().UnixMilli()
	}
	due, err := p.next(time.UnixMilli(p.After))
	if err != nil || due.IsZero() {
		return none{}, errors.Join(err, errors.New("the schedule has no further time"))
	}
	run.Report(report{Next: due.UTC(), Last: p.Last})
	changed, err := awaitUntil[plan](run, changeSignal, due)
	if err == nil {
		changed.After, changed.Last = run.Now().UnixMilli(), p.Last
		return ContinueAsNew[none](run, changed)
	}
	if !errors.Is(err, ErrTimedOut) {
		return none{}, err
	}
	if due, err = p.latest(due, run.Now()); err != nil {
		return none{}, err
	}
	p.After = due.UnixMilli()
	if err := p.start(run, run.ID()+"-"+due.UTC().Format(startTime)); err != nil {
		return none{}, err
	}
	return ContinueAsNew[none](run, p)
}

type (
	none   struct{}
	report struct {
		Next time.Time `json:"next"`
		Last string    `json:"last,omitzero"`
	}
)

// start starts the flow that is due, as the overlap policy has it.
func (p *plan) start(run *Run, id string) error {
	busy, err := p.busy(run)
	if err != nil {
		return err
	}
	switch {
	case busy && p.Overlap == Skip:
		return nil
	case busy && p.Overlap == CancelLast:
		if _, err := Step(run, "cancel_last", func(ctx context.Context) (none, error) {
			return none{}, run.inst.eng.cancelChild(ctx, p.Flow, p.Last, run.Key("cancel_last"))
		}); err != nil {
			return err
		}
	}
	d := Declare[contract.Raw, contract.Raw](p.Flow, p.Version)
	if p.Overlap != Queue {
		p.Last = id
		_, err = StartChild(run, d, id, p.Input, Detached())
		return ignoreOtherInput(err)
	}
	child, err := StartChild(run, d, id, p.Input)
	if err != nil {
		return ignoreOtherInput(err)
	}
	p.Last = id
	if _, err = child.Await(); errors.Is(err, ErrCancelled) && run.cancelled {
		return err
	}
	return nil // how the flow ended is its own affair
}

// ignoreOtherInput takes a flow that somebody has started by hand under the id for the
// one that was due.
func ignoreOtherInput(err error) error {
	if errors.Is(err, ErrOtherInput) {
		return nil
	}
	return err
}

// busy asks whether the flow that was started last still runs.
func (p *plan) busy(run *Run) (bool, error) {
	if p.Last == "" || p.Overlap == Together || p.Overlap == Queue {
		return false, nil
	}
	e := run.inst.eng
	return Step(run, "look", func(ctx context.Context) (bool, error) {
		last, err := e.log.Last(ctx, contract.FlowLog(e.service, p.Flow, p.Last))
		if err != nil {
			return false, err
		}
		if last.Sequence == 0 { // it has not begun, or is forgotten
			start, err := findStart(ctx, e.log, e.inbox(p.Flow, p.Last))
			return start.Sequence > 0, err
		}
		page, err := decodePage(last.Data)
		return err == nil && !page.Status.Ended(), err
	})
}

// schedule makes the schedules what the worker was given.
func (w *Worker) schedule(ctx context.Context) error {
	e := &engine{service: w.service, log: streamLog{w.conn}, payloads: w.payloads, partitions: w.options.partitions}
	for _, s := range w.options.schedules {
		if err := e.schedule(ctx, s); err != nil {
			return fmt.Errorf("flow: schedule %s: %w", s.name, err)
		}
		w.conn.Telemetry().Logger.Debug("flow schedule is kept", telemetry.KeyFlow, s.plan.Flow, telemetry.KeyFlowID, s.name)
	}
	return nil
}

func (e *engine) schedule(ctx context.Context, s Schedule) error {
	body, err := encode(s.plan)
	if err != nil {
		return err
	}
	err = e.startChild(ctx, scheduling.spec, s.name, body, "")
	if err != nil && !errors.Is(err, ErrOtherInput) {
		return err
	}
	now, err := e.planOf(ctx, s.name)
	if err != nil || now.same(s.plan) {
		return err
	}
	return e.send(ctx, &nats.Msg{Subject: e.inbox(scheduleFlow, s.name), Data: body, Header: nats.Header{
		headerKind: {string(inputSignal)}, headerSignal: {changeSignal}, headerInput: {changeSignal + "/" + nuid.Next()},
	}}, bus.NoExpectation)
}

// planOf reads what a schedule does now.
func (e *engine) planOf(ctx context.Context, name string) (plan, error) {
	var p plan
	last, err := e.log.Last(ctx, contract.FlowLog(e.service, scheduleFlow, name))
	if err != nil {
		return p, err
	}
	if last.Sequence > 0 {
		page, err := decodePage(last.Data)
		if err != nil {
			return p, err
		}
		if page.Gen > 0 {
			return p, decode(page.Input, &p)
		}
	}
	start, err := findStart(ctx, e.log, e.inbox(scheduleFlow, name))
	if err != nil {
		return p, err
	}
	if start.Sequence == 0 {
		return p, errors.New("the schedule is gone")
	}
	return p, decode(start.Data, &p)
}

// checkSchedules refuses schedules of flows that the worker does not run.
func (w *Worker) checkSchedules() error {
	seen := map[string]bool{}
	for _, s := range w.options.schedules {
		if _, ok := w.flows.find(s.plan.Flow, s.plan.Version); !ok {
			return fmt.Errorf("flow: schedule %s starts %s version %s, which this worker does not run", s.name, s.plan.Flow, strconv.Itoa(s.plan.Version))
		}
		if seen[s.name] {
			return fmt.Errorf("flow: schedule %s is given twice", s.name)
		}
		seen[s.name] = true
	}
	if len(seen) > 0 {
		s := scheduling.spec
		w.flows[flowVersion{s.name, s.version}] = s
	}
	return nil
}
