package inventory

import "github.com/ordermesh/ordermesh/bus/contract"

// The refusals of the inventory service.
var (
	ErrDelta       = contract.NewError(contract.Unprocessable, "bad_delta", "delta must be -1000000000 to 1000000000 and not 0")
	ErrNoStock     = contract.NewError(contract.NotFound, "stock_not_found", "nothing is known of the stock of this SKU")
	ErrBelow       = contract.NewError(contract.FailedPrecondition, "below_reserved", "less stock would be on hand than is reserved")
	ErrTooMuch     = contract.NewError(contract.Unprocessable, "stock_overflow", "more stock would be on hand than can be handled")
	ErrShort       = contract.NewError(contract.FailedPrecondition, "out_of_stock", "less is available than is asked for")
	ErrBusy        = contract.NewError(contract.Exhausted, "too_many_holds", "too many orders hold this SKU; try again later")
	ErrDiffers     = contract.NewError(contract.Conflict, "reservation_differs", "the order has a reservation with other lines")
	ErrClosed      = contract.NewError(contract.FailedPrecondition, "reservation_closed", "the reservation is closed")
	ErrNotHeld     = contract.NewError(contract.FailedPrecondition, "not_held", "the order does not hold its lines")
	ErrReservation = contract.NewError(contract.NotFound, "reservation_not_found", "the order has no reservation")
)
