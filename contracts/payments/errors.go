package payments

import "github.com/ordermesh/ordermesh/bus/contract"

// The refusals of the payments service.
var (
	ErrUnknown     = contract.NewError(contract.NotFound, "payment_not_found", "the order has no payment")
	ErrReference   = contract.NewError(contract.Invalid, "bad_reference", "the payment reference cannot be opened")
	ErrDiffers     = contract.NewError(contract.Conflict, "payment_differs", "the order has a payment of another amount or charge")
	ErrDeclined    = contract.NewError(contract.FailedPrecondition, "payment_declined", "the provider has declined the payment")
	ErrVoided      = contract.NewError(contract.FailedPrecondition, "payment_voided", "the payment is void")
	ErrCaptured    = contract.NewError(contract.FailedPrecondition, "payment_captured", "the money was taken already: refund it")
	ErrNotCaptured = contract.NewError(contract.FailedPrecondition, "payment_not_captured", "no money was taken")
	ErrRefund      = contract.NewError(contract.Conflict, "refund_differs", "the refund id was used for another amount")
	ErrTooMuch     = contract.NewError(contract.Unprocessable, "amount_too_large", "the amount is not positive or larger than what is left")
)
