package orders

import (
	"context"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/failpoint"
	"github.com/ordermesh/ordermesh/bus/flow"
	"github.com/ordermesh/ordermesh/contracts/money"
	"github.com/ordermesh/ordermesh/contracts/orders"
	"github.com/ordermesh/ordermesh/contracts/payments"
	"github.com/ordermesh/ordermesh/services/orders/domain"
)

// refund makes good what the order has promised: payments gives the money back, under
// the refund's own id, and the order notes it. A refusal of payments is noted, too: the
// amount is free again. Whoever stops the flow, the promise is kept.
type refund struct {
	orders *entity
	bank   bank
}

// refundInput is one refund of an order. The flow's id is the refund's.
type refundInput struct {
	OrderID  string       `json:"order_id"`
	RefundID string       `json:"refund_id"`
	Amount   money.Amount `json:"amount"`
}

// refundResult is how a refund ends.
type refundResult struct {
	Status orders.RefundStatus `json:"status"`
}

func (f *refund) definition() flow.Definition[refundInput, refundResult] {
	return flow.Define(orders.RefundFlow, 1, f.run)
}

func (f *refund) run(run *flow.Run, in refundInput) (refundResult, error) {
	key := run.Key("settle")
	settle := func(ctx context.Context) (refundResult, error) { return f.settle(ctx, key, in) }
	flow.Compensate(run, "keep_promise", func(ctx context.Context) error {
		_, err := settle(ctx)
		return err
	})
	return flow.Step(run, "settle", settle)
}

// settle can be repeated: payments knows the refund's id, the order the command's.
func (f *refund) settle(ctx context.Context, key string, in refundInput) (refundResult, error) {
	amount := money.In(in.Amount)
	err := f.bank.refund(ctx, key, payments.RefundPayment{OrderID: in.OrderID, RefundID: in.RefundID, Amount: &amount})
	failpoint.Hit("orders.given_back")
	var end domain.Command = domain.NoteRefund{ID: in.RefundID}
	result := refundResult{Status: orders.RefundDone}
	switch {
	case contract.IsRefusal(err):
		end = domain.FailRefund{ID: in.RefundID, Reason: contract.AsError(err).Reason}
		result.Status = orders.RefundFailed
	case err != nil:
		return refundResult{}, err
	}
	_, _, err = f.orders.Do(ctx, in.OrderID, key, end)
	failpoint.Hit("orders.refund_noted")
	return result, err
}
