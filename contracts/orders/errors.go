package orders

import "github.com/ordermesh/ordermesh/bus/contract"

// The refusals of the orders service.
var (
	ErrUnknown    = contract.NewError(contract.NotFound, "order_not_found", "there is no such order")
	ErrPlaced     = contract.NewError(contract.Conflict, "order_placed", "the order is placed already")
	ErrKeyReused  = contract.NewError(contract.Unprocessable, "key_reused", "the order id or idempotency key was used with another request")
	ErrProduct    = contract.NewError(contract.Unprocessable, "unknown_product", "the catalog has no such product")
	ErrInactive   = contract.NewError(contract.Unprocessable, "product_not_sold", "the product is not sold now")
	ErrCustomer   = contract.NewError(contract.Forbidden, "other_customer", "orders can be placed for oneself only")
	ErrCancelled  = contract.NewError(contract.FailedPrecondition, "order_cancelled", "the order is cancelled")
	ErrDispatched = contract.NewError(contract.FailedPrecondition, "order_dispatched", "the order is dispatched and can no longer be cancelled")
	ErrOutOfTurn  = contract.NewError(contract.FailedPrecondition, "order_out_of_turn", "the order is not in a state that allows this")
	ErrNotReached = contract.NewError(contract.Deadline, "version_not_reached", "the order did not reach the version in time")
	ErrPayments   = contract.NewError(contract.Unavailable, "payments_unavailable", "payments cannot be taken now; try again")

	// ErrOutOfStock and ErrDeclined are how a checkout ends that cannot go on; their
	// reasons are also the order's.
	ErrOutOfStock = contract.NewError(contract.FailedPrecondition, ReasonOutOfStock, "a product is out of stock")
	ErrDeclined   = contract.NewError(contract.FailedPrecondition, ReasonPaymentDeclined, "the payment was declined")
)
