package flow

import (
	"context"
	"fmt"
	"time"

	"github.com/ordermesh/ordermesh/bus/contract"
)

// State is what is known of an instance: its journal, made readable.
type State struct {
	Flow    string
	ID      string
	Version int
	Status  Status
	Started time.Time
	Steps   []StepState  // in the order in which they happened; the last may be under way
	Wait    *WaitState   // waiting: what for
	Signals []string     // names of the signals that nobody has taken yet
	Report  contract.Raw // what the function reported last
	Result  contract.Raw // completed
	Err     error        // failed, cancelled or stuck
	Reason  string       // stuck and cancelled: why; failed: the error's full text

	Ended      time.Time // when it ended or got stuck; zero while it runs
	Condensed  bool      // it ended so long ago that only its result is left: there are no steps
	Deadline   time.Time // when it will be cancelled; zero for never
	Generation int       // how often it was continued as new
}

// WaitState is what an instance waits for.
type WaitState struct {
	Kind  string    // "timer", "signal", or "outcome" of a child
	Name  string    // of the timer, the signal or, as flow/id, the child
	Since time.Time // when the wait began
	Due   time.Time // when it is over at the latest; zero for never
}

// StepState is one operation of an instance.
type StepState struct {
	Index    int
	Kind     string // "step", "undo" (a compensation), "now", "cancel", "timer", "signal", "child", "outcome", "branch", "race"
	Name     string
	Done     bool // it has its outcome
	Attempts int
	At       time.Time
	Err      error     // its terminal error
	Last     string    // text of the last failed attempt
	Due      time.Time // not done: when the next attempt is due or the wait is over
	TimedOut bool      // the signal did not come in time
}

// Get reads an instance's journal. An instance that has not begun is pending; one
// that was never started is [ErrNotFound].
func (c *Client) Get(ctx context.Context, name, id string) (State, error) {
	inbox, err := c.subject(ctx, name, id)
	if err != nil {
		return State{}, err
	}
	last, err := c.log.Last(ctx, contract.FlowLog(c.service, name, id))
	if err != nil {
		return State{}, unavailable(err)
	}
	if last.Sequence == 0 {
		return c.pending(ctx, name, id, inbox)
	}
	p, err := decodePage(last.Data)
	if err != nil {
		return State{}, fmt.Errorf("the flow %s %s: %w", name, id, err)
	}
	history, err := loadHistory(ctx, c.log, p)
	if err != nil {
		return State{}, fmt.Errorf("the flow %s %s: %w", name, id, err)
	}
	state := stateOf(p, history)
	if !p.condensed() && (p.Status.Ended() || p.Status == Stuck) {
		state.Ended = last.Time
	}
	if p.Ref != "" {
		if state.Result, err = c.payloads.Payload(ctx, p.Ref); err != nil {
			return State{}, unavailable(err)
		}
	}
	return state, nil
}

func (c *Client) pending(ctx context.Context, name, id, inbox string) (State, error) {
	start, err := findStart(ctx, c.log, inbox)
	if err != nil {
		return State{}, unavailable(err)
	}
	if start.Sequence == 0 {
		return State{}, ErrNotFound.Sayf("there is no flow %s %s", name, id)
	}
	return State{Flow: name, ID: id, Status: Pending, Started: start.Time}, nil
}

func stateOf(p page, history []record) State {
	s := State{
		Flow: p.Flow, ID: p.ID, Version: p.Version, Status: p.Status, Started: time.UnixMilli(p.At),
		Result: p.Result, Reason: p.Reason, Report: p.Report, Generation: p.Gen,
	}
	if p.Deadline > 0 {
		s.Deadline = time.UnixMilli(p.Deadline)
	}
	if p.condensed() {
		s.Condensed, s.Ended = true, time.UnixMilli(p.Ended)
	}
	for _, l := range p.Mail {
		s.Signals = append(s.Signals, l.Name)
	}
	if s.Status.Ended() || s.Status == Stuck {
		s.Err = s.outcome().withError(p.Error).err()
	}
	for i := range history {
		s.Steps = append(s.Steps, stepState(&history[i], true))
	}
	if p.Open != nil {
		open := stepState(p.Open, false)
		if len(p.Open.Branches) == 0 {
			s.Steps = append(s.Steps, open)
		}
		for i := range p.Open.Branches {
			s.Steps = append(s.Steps, stepState(&p.Open.Branches[i], false))
		}
		if p.Status == Waiting {
			s.Wait = &WaitState{Kind: open.Kind, Name: open.Name, Since: open.At, Due: open.Due}
		}
	}
	return s
}

func stepState(r *record, done bool) StepState {
	s := StepState{
		Index: r.Index, Kind: string(r.Kind), Name: r.Name, Done: done, Attempts: r.Tries, Last: r.Last,
		TimedOut: r.Outcome == outcomeTimedOut,
	}
	if r.At > 0 {
		s.At = time.UnixMilli(r.At)
	}
	if r.Due > 0 {
		s.Due = time.UnixMilli(r.Due)
	}
	if len(r.Err) > 0 {
		s.Err = contract.DecodeError(r.Err, "the step failed")
	}
	return s
}

// outcome is what a waiting client would be told.
func (s State) outcome() outcome {
	o := outcome{Status: s.Status, Result: s.Result, Reason: s.Reason}
	if e := contract.AsError(s.Err); e != nil {
		o.Error = contract.EncodeError(e)
	}
	return o
}

func (o outcome) withError(raw contract.Raw) outcome {
	o.Error = raw
	return o
}

// ResultOf decodes the result of a completed instance.
func ResultOf[Out any](s State) (Out, error) { return resultOf[Out](s.outcome(), nil) }
