// Package flows is what the flows service says: it starts, shows and steers durable
// flows of every service from outside. It hosts no flow code itself.
package flows

import (
	"strconv"
	"time"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/contracts/page"
	"github.com/ordermesh/ordermesh/contracts/text"
)

// The methods of the flows service.
var (
	Start = contract.NewMethod[StartFlow, Instance]("flows", "start", contract.Idempotent(),
		contract.Doc("starts a flow; starting an id twice finds the one that runs"))
	Signal = contract.NewMethod[SignalFlow, Instance]("flows", "signal",
		contract.Doc("hands a running flow what it waits for"))
	Cancel = contract.NewMethod[CancelFlow, Instance]("flows", "cancel", contract.Idempotent(),
		contract.Doc("asks a flow to stop and undo what it did"))
	Retry = contract.NewMethod[Ref, Instance]("flows", "retry", contract.Idempotent(),
		contract.Doc("lets a flow that is stuck go on"))
	Get = contract.NewMethod[Ref, Instance]("flows", "get", contract.Idempotent(),
		contract.Doc("answers one flow with its steps as it is now"))
	List = contract.NewMethod[ListFlows, Instances]("flows", "list", contract.Idempotent(),
		contract.Doc("lists flows"))
)

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

// StartFlow starts an instance with its input, a JSON object.
type StartFlow struct {
	Service string       `json:"service"`
	Flow    string       `json:"flow"`
	ID      string       `json:"id"`
	Input   contract.Raw `json:"input,omitzero"`
}

// Validate refuses malformed names. Input is checked by the flow's own type.
func (r StartFlow) Validate() error { return Ref{r.Service, r.Flow, r.ID}.Validate() }

// SignalFlow hands a signal to an instance. The same SignalID is taken once.
type SignalFlow struct {
	Service  string       `json:"service"`
	Flow     string       `json:"flow"`
	ID       string       `json:"id"`
	Signal   string       `json:"signal"`
	SignalID string       `json:"signal_id"`
	Data     contract.Raw `json:"data,omitzero"`
}

// Validate refuses malformed names.
func (r SignalFlow) Validate() error {
	if err := (Ref{r.Service, r.Flow, r.ID}).Validate(); err != nil {
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

// Validate refuses malformed names and reasons.
func (r CancelFlow) Validate() error {
	if err := (Ref{r.Service, r.Flow, r.ID}).Validate(); err != nil {
		return err
	}
	return text.Required("/reason", r.Reason)
}

// ListFlows asks for a page of instances.
type ListFlows struct {
	Service string `json:"service,omitzero"`
	Flow    string `json:"flow,omitzero"`
	Status  Status `json:"status,omitzero"`
	Limit   int    `json:"limit,omitzero"`
	Cursor  string `json:"cursor,omitzero"`
}

// Validate refuses malformed filters and pages.
func (r ListFlows) Validate() error {
	for _, f := range []struct{ field, value string }{{"/service", r.Service}, {"/flow", r.Flow}} {
		if f.value == "" {
			continue
		}
		if err := contract.CheckID(f.field, f.value); err != nil {
			return err
		}
	}
	if r.Status != "" && !r.Status.Known() {
		return contract.ErrInvalid.At("/status").Sayf("status %s is not one of running, waiting, compensating, stuck, done, failed, cancelled", strconv.Quote(string(r.Status)))
	}
	return page.Check(r.Limit, r.Cursor)
}

// Status is where an instance stands.
type Status string

// The states of an instance. Done, Failed and Cancelled are its end.
const (
	Running      Status = "running"
	Waiting      Status = "waiting"      // for a timer or a signal
	Compensating Status = "compensating" // undoing its steps
	Stuck        Status = "stuck"        // cannot go on without a person
	Done         Status = "done"
	Failed       Status = "failed"
	Cancelled    Status = "cancelled"
)

// Known reports whether s is one of the states.
func (s Status) Known() bool {
	switch s {
	case Running, Waiting, Compensating, Stuck, Done, Failed, Cancelled:
		return true
	}
	return false
}

// Instance is one flow as it is now.
type Instance struct {
	Service   string       `json:"service"`
	Flow      string       `json:"flow"`
	ID        string       `json:"id"`
	Version   int          `json:"version"` // of the flow's code
	Status    Status       `json:"status"`
	Reason    string       `json:"reason,omitzero"` // why it is stuck, failed or cancelled
	Output    contract.Raw `json:"output,omitzero"`
	StartedAt time.Time    `json:"started_at"`
	UpdatedAt time.Time    `json:"updated_at"`
	Steps     []StepInfo   `json:"steps"`
}

// StepInfo is one step that an instance has finished, or tries.
type StepInfo struct {
	Name     string    `json:"name"`
	Attempts int       `json:"attempts,omitzero"`
	Error    string    `json:"error,omitzero"` // of the last attempt
	DoneAt   time.Time `json:"done_at,omitzero"`
}

// Instances is one page of instances, without steps.
type Instances struct {
	Flows      []Instance `json:"flows"`
	NextCursor string     `json:"next_cursor,omitzero"` // absent on the last page
	Behind     uint64     `json:"behind"`               // messages that this view has not seen yet
}
