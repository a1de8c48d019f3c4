package flow

import (
	"time"

	"github.com/ordermesh/ordermesh/bus/contract"
)

// ErrDeadline is what every step returns once the flow's deadline has passed, and how
// such a flow fails after its compensations have run.
var ErrDeadline = contract.NewError(contract.Deadline, "flow_deadline", "the flow did not end by its deadline")

// DefineOption changes a definition.
type DefineOption func(*spec)

// WithDeadline bounds the whole flow, waits included, from its start on. When it has
// passed, the next step returns [ErrDeadline], compensations run without a bound, and
// the flow fails. Instances keep the deadline that they began with.
func WithDeadline(d time.Duration) DefineOption {
	return func(s *spec) { s.deadline = d }
}

// deadline is when the instance has to be done; the zero time means never.
func (in *instance) deadline() time.Time {
	if in.j.origin.Deadline == 0 {
		return time.Time{}
	}
	return time.UnixMilli(in.j.origin.Deadline)
}

// overdue reports whether the deadline has passed.
func (in *instance) overdue() bool {
	d := in.j.origin.Deadline
	return d > 0 && time.Now().UnixMilli() >= d
}
