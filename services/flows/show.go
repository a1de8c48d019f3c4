package flows

import (
	"context"
	"time"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/flow"
	"github.com/ordermesh/ordermesh/contracts/flows"
)

// show answers an instance as its journal has it.
func (t *target) show(ctx context.Context, ref flows.Ref) (flows.Instance, error) {
	state, err := t.engine.Get(ctx, ref.Flow, ref.ID)
	if err != nil {
		return flows.Instance{}, blamed(err)
	}
	return instance(ref, state), nil
}

// What an answer shows at most; it has to fit into one message.
const (
	mostResult = 256 << 10
	mostSteps  = 1000
)

func instance(ref flows.Ref, s flow.State) flows.Instance {
	view := flows.Instance{
		Service: ref.Service, Flow: ref.Flow, ID: ref.ID, Version: s.Version, Status: flows.Status(s.Status),
		Reason: s.Reason, Error: problem(s), Result: s.Result, Report: s.Report, Signals: s.Signals,
		Generation: s.Generation, StartedAt: s.Started.Truncate(time.Millisecond).UTC(), Deadline: utc(s.Deadline),
		EndedAt: utc(s.Ended), Condensed: s.Condensed,
	}
	if w := s.Wait; w != nil {
		view.Wait = &flows.Wait{Kind: w.Kind, Name: w.Name, Since: utc(w.Since), Due: utc(w.Due)}
	}
	if len(s.Result) > mostResult {
		view.Result, view.ResultBytes = nil, len(s.Result)
	}
	view.StepsBefore = max(len(s.Steps)-mostSteps, 0)
	for _, step := range s.Steps[view.StepsBefore:] {
		view.Steps = append(view.Steps, stepInfo(step))
	}
	return view
}

// problem is the error with which an instance ended; what is stuck has a reason.
func problem(s flow.State) *flows.Problem {
	e := contract.AsError(s.Err)
	if e == nil || !s.Status.Ended() {
		return nil
	}
	return &flows.Problem{Code: e.Code.String(), Reason: e.Reason, Message: e.Message}
}

func stepInfo(s flow.StepState) flows.StepInfo {
	text := s.Last
	if s.Err != nil {
		text = s.Err.Error()
	}
	return flows.StepInfo{
		Kind: s.Kind, Name: s.Name, Done: s.Done, Attempts: s.Attempts, At: utc(s.At), Error: text,
		TimedOut: s.TimedOut, Due: utc(s.Due),
	}
}

// utc leaves a time that is not known as it is.
func utc(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return t.UTC()
}
