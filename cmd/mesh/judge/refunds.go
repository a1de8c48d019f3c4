package judge

import (
	"fmt"

	"github.com/ordermesh/ordermesh/contracts/money"
	"github.com/ordermesh/ordermesh/contracts/orders"
)

// orderRefunds are the refunds of one order.
type orderRefunds struct {
	byID     map[string]*orderRefund
	promised int64 // of all that were not refused
	made     int64
}

type orderRefund struct {
	amount money.Amount
	status orders.RefundStatus
}

// fold folds one event and says what it should have been, "" if it is right.
func (r *orderRefunds) fold(o *order, v orders.Event) (wrong string) {
	switch v := v.(type) { //nolint:gochecksumtype // the others are not about refunds
	case orders.OrderRefundRequested:
		return r.request(o, v)
	case orders.OrderRefunded:
		open := r.end(v.RefundID, orders.RefundDone)
		r.made += v.Amount.Minor
		switch {
		case open == nil || open.amount != v.Amount:
			return "a refund as it was asked for, once"
		case v.Refunded != money.New(r.made, o.total.Currency):
			return fmt.Sprintf("%s refunded in all", money.New(r.made, o.total.Currency))
		}
	case orders.OrderRefundFailed:
		open := r.end(v.RefundID, orders.RefundFailed)
		if open == nil {
			return "the refusal of a refund that was asked for, once"
		}
		r.promised -= open.amount.Minor
	}
	return ""
}

func (r *orderRefunds) request(o *order, v orders.OrderRefundRequested) (wrong string) {
	_, twice := r.byID[v.RefundID]
	if r.byID == nil {
		r.byID = map[string]*orderRefund{}
	}
	r.byID[v.RefundID] = &orderRefund{amount: v.Amount, status: orders.RefundRequested}
	r.promised += v.Amount.Minor
	switch {
	case twice:
		return "a refund id that is new"
	case o.status != orders.Delivered:
		return "a delivered order"
	case v.Amount.Currency != o.total.Currency || v.Amount.Minor <= 0 || r.promised > o.total.Minor:
		return fmt.Sprintf("refunds of at most %s", o.total)
	}
	return ""
}

// end ends a refund that was asked for; nil if none was.
func (r *orderRefunds) end(id string, as orders.RefundStatus) *orderRefund {
	open := r.byID[id]
	if open == nil || open.status != orders.RefundRequested {
		return nil
	}
	open.status = as
	return open
}

// refunded holds what orders say of refunds to what payments has stored. It holds at
// every moment: the money comes first.
func (c *court) refunded() {
	for _, o := range c.orders.orders {
		pay := c.payments.of(o.id)
		for id, r := range o.refunds.byID {
			if made := pay.refunds[id]; r.status == orders.RefundDone && made != r.amount {
				c.docket.find(checkRefunds, o.finding(o.status, fmt.Sprintf("%s refunded by payments as %s", r.amount, id), made.String()))
			}
		}
	}
}

// refundsEnded holds, at rest, every refund to having been made or refused.
func (c *court) refundsEnded(o *order) {
	for id, r := range o.refunds.byID {
		if r.status == orders.RefundRequested {
			c.docket.find(checkFinished, o.finding(o.status, "an end of the refund "+id, fmt.Sprintf("%s still asked for", r.amount)))
		}
	}
}
