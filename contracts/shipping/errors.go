package shipping

import "github.com/ordermesh/ordermesh/bus/contract"

// The refusals of the shipping service.
var (
	ErrUnknown   = contract.NewError(contract.NotFound, "shipment_not_found", "the order has no shipment")
	ErrDiffers   = contract.NewError(contract.Conflict, "shipment_differs", "the order has another shipment")
	ErrCancelled = contract.NewError(contract.FailedPrecondition, "shipment_cancelled", "the shipment is cancelled")
	ErrDelivered = contract.NewError(contract.FailedPrecondition, "shipment_delivered", "the shipment is delivered")
)
