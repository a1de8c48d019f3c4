package flows

import "github.com/ordermesh/ordermesh/bus/contract"

// The refusals of the flows service. Those that the engine says itself have the
// engine's codes and reasons, so that a caller compares with either.
var (
	ErrUnknown    = contract.NewError(contract.NotFound, "flow_not_found", "there is no such flow")
	ErrEnded      = contract.NewError(contract.Conflict, "flow_ended", "the flow has ended")
	ErrOtherInput = contract.NewError(contract.Unprocessable, "flow_other_input", "a flow with this id was started with another input")
	ErrNotStuck   = contract.NewError(contract.FailedPrecondition, "flow_not_stuck", "the flow is not stuck")
	ErrNoService  = contract.NewError(contract.NotFound, "flow_service_unknown", "no service of this name runs flows")
	ErrNoFlow     = contract.NewError(contract.NotFound, "flow_name_unknown", "no flow of this name is known")
	ErrCustomer   = contract.NewError(contract.Forbidden, "flows_are_internal", "who acts for a customer cannot see or steer flows")
)
