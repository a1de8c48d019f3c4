package orders

import "github.com/ordermesh/ordermesh/bus/contract"

// The refusals of the orders service.
var (
	ErrUnknown     = contract.NewError(contract.NotFound, "order_not_found", "there is no such order")
	ErrNotAccepted = contract.NewError(contract.Unprocessable, "order_rejected", "the order is not accepted")
	ErrPlaced      = contract.NewError(contract.Conflict, "order_placed", "the order is placed already")
	ErrKeyReused   = contract.NewError(contract.Unprocessable, "key_reused", "the order id or idempotency key was used with another request")
	ErrProduct     = contract.NewError(contract.Unprocessable, "unknown_product", "the catalog has no such product")
	ErrInactive    = contract.NewError(contract.Unprocessable, "product_not_sold", "the product is not sold now")
	ErrCustomer    = contract.NewError(contract.Forbidden, "other_customer", "orders can be placed for oneself only")
	ErrCancelled   = contract.NewError(contract.FailedPrecondition, "order_cancelled", "the order is cancelled")
	ErrDispatched  = contract.NewError(contract.FailedPrecondition, "order_dispatched", "the order is dispatched and can no longer be cancelled")
	ErrChanged     = contract.NewError(contract.FailedPrecondition, "order_changed", "the order is not at that version any more")
	ErrNotOnHold   = contract.NewError(contract.FailedPrecondition, "order_not_on_hold", "the order is not on hold")
	ErrOutOfTurn   = contract.NewError(contract.FailedPrecondition, "order_out_of_turn", "the order is not in a state that allows this")
	ErrNotReached  = contract.NewError(contract.Deadline, "version_not_reached", "the order did not reach the version in time")
	ErrStaff       = contract.NewError(contract.Forbidden, "staff_only", "this is not for customers")
	ErrPayments    = contract.NewError(contract.Unavailable, "payments_unavailable", "payments cannot be taken now; try again")

	// ErrReportTooLarge refuses a report over many currencies and days.
	ErrReportTooLarge = contract.NewError(contract.Unprocessable, "report_too_large", "the report has more lines than an answer can carry: ask for fewer days")

	// ErrHistory is answered while rules ask for what the view of orders has not read yet.
	ErrHistory = contract.NewError(contract.Unavailable, "history_unread", "what customers have ordered before is being read; try again")

	// ErrUndelivered and those after it are the refusals of refunds.
	ErrUndelivered    = contract.NewError(contract.FailedPrecondition, "order_not_delivered", "only a delivered order is refunded; one that is not dispatched can be cancelled")
	ErrRefunded       = contract.NewError(contract.FailedPrecondition, "order_refunded", "everything that was paid is refunded or being refunded")
	ErrTooMuch        = contract.NewError(contract.Unprocessable, "refund_too_large", "the amount is more than what is left")
	ErrOtherCurrency  = contract.NewError(contract.Unprocessable, "other_currency", "the order was paid in another currency")
	ErrNoAmount       = contract.NewError(contract.Unprocessable, "amount_not_positive", "the amount must be more than 0")
	ErrTooManyRefunds = contract.NewError(contract.FailedPrecondition, "too_many_refunds", "the order has as many refunds as an order can have")

	// ErrOutOfStock, ErrDeclined and ErrPaymentTimeout are how a checkout ends that
	// cannot go on; their reasons are also the order's.
	ErrOutOfStock     = contract.NewError(contract.FailedPrecondition, ReasonOutOfStock, "a product is out of stock")
	ErrDeclined       = contract.NewError(contract.FailedPrecondition, ReasonPaymentDeclined, "the payment was declined")
	ErrPaymentTimeout = contract.NewError(contract.FailedPrecondition, ReasonPaymentTimeout, "the payment could not be made in time")
)
