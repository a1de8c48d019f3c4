package flows

import "github.com/ordermesh/ordermesh/bus/contract"

// The refusals of the flows service.
var (
	ErrUnknown  = contract.NewError(contract.NotFound, "flow_not_found", "there is no such flow")
	ErrFinished = contract.NewError(contract.Conflict, "flow_finished", "the flow has ended")
	ErrInput    = contract.NewError(contract.Unprocessable, "flow_input_differs", "the flow was started with another input")
	ErrNotStuck = contract.NewError(contract.FailedPrecondition, "flow_not_stuck", "the flow is not stuck")
)
