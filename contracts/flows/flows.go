// Package flows is what the flows service says: it starts, shows and steers durable
// flows of every service from outside. It hosts no flow code itself.
package flows

import (
	"slices"
	"time"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/contracts/text"
)

// The methods of the flows service.
var (
	Start = contract.NewMethod[StartFlow, Instance]("flows", "start", contract.Idempotent(),
		contract.Doc("starts a flow; starting an id twice finds the one that is there"))
	Signal = contract.NewMethod[SignalFlow, Instance]("flows", "signal", contract.Idempotent(),
		contract.Doc("hands a flow what it waits for; a signal id is taken once"))
	Cancel = contract.NewMethod[CancelFlow, Instance]("flows", "cancel", contract.Idempotent(), contract.Urgent(),
		contract.Doc("asks a flow to stop and undo what it did"))
	Retry = contract.NewMethod[Ref, Instance]("flows", "retry",
		contract.Doc("lets a flow that is stuck go on"))
	Get = contract.NewMethod[Ref, Instance]("flows", "get", contract.Read(),
		contract.Doc("answers one flow with its steps as it is now"))
	List = contract.NewMethod[ListFlows, Instances]("flows", "list", contract.Lists(),
		contract.Doc("lists flows by service, name, status and age"))
)

// ScheduleFlow is the flow that keeps a service's schedules; the id of an instance is
// the schedule's name. It is not started from outside.
const ScheduleFlow = "schedule"

// Ref names one instance of a flow.
type Ref struct {
	Service string `json:"service"`
	Flow    string `json:"flow"`
	ID      string `json:"id"`
}

// Validate refuses malformed names.
func (r Ref) Validate() error {
	if err := contract.CheckID("/service", r.Service); err != nil {
		return err
	}
	if err := contract.CheckID("/flow", r.Flow); err != nil {
		return err
	}
	return contract.CheckID("/id", r.ID)
}

// StartFlow starts an instance with its input, which is {} when it is left out.
type StartFlow struct {
	Service string       `json:"service"`
	Flow    string       `json:"flow"`
	ID      string       `json:"id"`
	Input   contract.Raw `json:"input,omitzero"`
}

// Ref is the instance that the request is about.
func (r StartFlow) Ref() Ref { return Ref{r.Service, r.Flow, r.ID} }

// Validate refuses malformed names. Input is checked by the flow's own type.
func (r StartFlow) Validate() error { return r.Ref().Validate() }

// SignalFlow hands a signal to an instance. The same SignalID is taken once.
type SignalFlow struct {
	Service  string       `json:"service"`
	Flow     string       `json:"flow"`
	ID       string       `json:"id"`
	Signal   string       `json:"signal"`
	SignalID string       `json:"signal_id"`
	Data     contract.Raw `json:"data,omitzero"`
}

// Ref is the instance that the request is about.
func (r SignalFlow) Ref() Ref { return Ref{r.Service, r.Flow, r.ID} }

// Validate refuses malformed names.
func (r SignalFlow) Validate() error {
	if err := r.Ref().Validate(); err != nil {
		return err
	}
	if err := contract.CheckID("/signal", r.Signal); err != nil {
		return err
	}
	return contract.CheckID("/signal_id", r.SignalID)
}

// CancelFlow asks an instance to stop.
type CancelFlow struct {
	Service string `json:"service"`
	Flow    string `json:"flow"`
	ID      string `json:"id"`
	Reason  string `json:"reason"`
}

// Ref is the instance that the request is about.
func (r CancelFlow) Ref() Ref { return Ref{r.Service, r.Flow, r.ID} }

// Validate refuses malformed names and reasons.
func (r CancelFlow) Validate() error {
	if err := r.Ref().Validate(); err != nil {
		return err
	}
	return text.Required("/reason", r.Reason)
}

// Status is where an instance stands, in the words of its journal.
type Status string

// The statuses. Completed, Failed and Cancelled are an instance's end.
const (
	Pending      Status = "pending"      // started, but no worker has begun
	Running      Status = "running"      // goes on by itself
	Waiting      Status = "waiting"      // for a timer, a signal or another flow
	Compensating Status = "compensating" // undoing its steps
	Stuck        Status = "stuck"        // cannot go on without a person
	Completed    Status = "completed"
	Failed       Status = "failed"
	Cancelled    Status = "cancelled"
)

// Statuses lists every status, in the order of an instance's life.
func Statuses() []Status {
	return []Status{Pending, Running, Waiting, Compensating, Stuck, Completed, Failed, Cancelled}
}

// Known reports whether s is one of the statuses.
func (s Status) Known() bool { return slices.Contains(Statuses(), s) }

// Ended reports whether s is final.
func (s Status) Ended() bool { return s == Completed || s == Failed || s == Cancelled }

// Instance is one flow as it is now.
type Instance struct {
	Service     string       `json:"service"`
	Flow        string       `json:"flow"`
	ID          string       `json:"id"`
	Version     int          `json:"version,omitzero"` // of the flow's code; absent while it is pending
	Status      Status       `json:"status"`
	Reason      string       `json:"reason,omitzero"` // why it is stuck, failed or cancelled
	Error       *Problem     `json:"error,omitzero"`  // with which it failed or was cancelled
	Result      contract.Raw `json:"result,omitzero"`
	ResultBytes int          `json:"result_bytes,omitzero"` // instead of a result that is too large to be shown
	Report      contract.Raw `json:"report,omitzero"`       // what the flow says of its progress
	Wait        *Wait        `json:"wait,omitzero"`         // what it waits for
	StartedAt   time.Time    `json:"started_at"`
	UpdatedAt   time.Time    `json:"updated_at,omitzero"`   // in lists
	EndedAt     time.Time    `json:"ended_at,omitzero"`     // or got stuck; not in lists
	Condensed   bool         `json:"condensed,omitzero"`    // it ended so long ago that only its result is left
	Deadline    time.Time    `json:"deadline,omitzero"`     // of the whole flow
	Generation  int          `json:"generation,omitzero"`   // how often it was continued as new
	Signals     []string     `json:"signals,omitzero"`      // that came and were not taken yet
	Steps       []StepInfo   `json:"steps,omitzero"`        // not in lists; of a long journal the latest
	StepsBefore int          `json:"steps_before,omitzero"` // steps that were left out, before the first one shown
}

// Problem is an error as a caller of the flow would see it.
type Problem struct {
	Code    string `json:"code"`
	Reason  string `json:"reason"`
	Message string `json:"message"`
}

// Wait is what an instance waits for.
type Wait struct {
	Kind  string    `json:"kind"` // "timer", "signal", or "outcome" of another flow
	Name  string    `json:"name"`
	Since time.Time `json:"since,omitzero"`
	Due   time.Time `json:"due,omitzero"` // when it stops waiting; absent: without end
}

// StepInfo is one operation of an instance, in the order in which they happened.
type StepInfo struct {
	Kind     string    `json:"kind"` // such as "step", "undo" or "cancel"
	Name     string    `json:"name,omitzero"`
	Done     bool      `json:"done"` // it has its outcome
	Attempts int       `json:"attempts,omitzero"`
	At       time.Time `json:"at,omitzero"`        // when it was done, or last tried
	Error    string    `json:"error,omitzero"`     // of the last attempt
	TimedOut bool      `json:"timed_out,omitzero"` // the signal did not come in time
	Due      time.Time `json:"due,omitzero"`       // when a wait is over, or when the next attempt is due
}
