package orders_test

import (
	"context"
	"errors"
	"testing"

	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/rpc"
	"github.com/ordermesh/ordermesh/bus/telemetry"
	"github.com/ordermesh/ordermesh/contracts/money"
	wire "github.com/ordermesh/ordermesh/contracts/orders"
	"github.com/ordermesh/ordermesh/contracts/payments"
)

// delivered returns an order that was delivered, of 25.98 EUR.
func (w *world) delivered(t *testing.T) string {
	t.Helper()
	id := w.place(t, request("c1", "tok_ok")).OrderID
	w.reaches(t, id, wire.Shipped)
	w.deliver(t, id)
	w.reaches(t, id, wire.Delivered)
	return id
}

// refundOf asks for cents, or with 0 for all that is left.
func refundOf(id string, cents int64) wire.RefundOrder {
	req := wire.RefundOrder{OrderID: id, Reason: "late"}
	if cents != 0 {
		in := money.In(money.New(cents, "EUR"))
		req.Amount = &in
	}
	return req
}

// refunded waits until so many cents are given back.
func (w *world) refunded(t *testing.T, id string, cents int64) wire.Order {
	t.Helper()
	var o wire.Order
	bustest.Eventually(t, patience, func() bool { o = w.get(t, id); return o.Refunded.Minor == cents }, cents, " to be refunded")
	return o
}

func TestADeliveredOrderIsRefundedInParts(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	id := w.delivered(t)
	for range 2 {
		o, err := rpc.Call(t.Context(), w.client, wire.Refund, refundOf(id, 1000), rpc.WithCommandID("first"))
		if err != nil || len(o.Refunds) != 1 || o.Refunds[0].Amount.Minor != 1000 || o.Refunds[0].Reason != "late" {
			t.Errorf("%+v, %v", o.Refunds, err)
		}
	}
	w.refunded(t, id, 1000)
	if _, err := rpc.Call(t.Context(), w.client, wire.Refund, refundOf(id, 0)); err != nil {
		t.Fatal(err)
	}
	o := w.refunded(t, id, 2598)
	if len(o.Refunds) != 2 || o.Status != wire.Delivered {
		t.Errorf("%s with refunds %+v", o.Status, o.Refunds)
	}
	for _, r := range o.Refunds {
		if r.Status != wire.RefundDone {
			t.Errorf("refund %+v", r)
		}
	}
	if _, money, _ := w.at(id); money != payments.Refunded {
		t.Errorf("the payment is %s", money)
	}
}

func TestRefundsThatAreRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	id := w.delivered(t)
	if _, err := rpc.Call(t.Context(), w.client, wire.Refund, refundOf(id, 1000), rpc.WithCommandID("first")); err != nil {
		t.Fatal(err)
	}
	undelivered := w.place(t, request("c1", "tok_ok")).OrderID
	dollars := refundOf(id, 1)
	dollars.Amount.Currency = "USD"
	other := refundOf(id, 1000)
	other.Reason = "broken"
	customer := telemetry.WithActor(t.Context(), contract.Actor{Who: "shop", For: "c1"})
	for name, c := range map[string]struct {
		ctx   context.Context
		req   wire.RefundOrder
		key   string
		err   error
		field string
	}{
		"more than is left":              {t.Context(), refundOf(id, 1599), "", wire.ErrTooMuch, "/amount/amount"},
		"another currency":               {t.Context(), dollars, "", wire.ErrOtherCurrency, "/amount/currency"},
		"the key with another amount":    {t.Context(), refundOf(id, 1001), "first", wire.ErrKeyReused, ""},
		"the key with another reason":    {t.Context(), other, "first", wire.ErrKeyReused, ""},
		"an order that is not delivered": {t.Context(), refundOf(undelivered, 1), "", wire.ErrUndelivered, ""},
		"an order that is not there":     {t.Context(), refundOf("nobody", 1), "", wire.ErrUnknown, ""},
		"a customer":                     {customer, refundOf(id, 1), "", wire.ErrStaff, ""},
	} {
		var opts []rpc.CallOption
		if c.key != "" {
			opts = append(opts, rpc.WithCommandID(c.key))
		}
		if _, err := rpc.Call(c.ctx, w.client, wire.Refund, c.req, opts...); !errors.Is(err, c.err) || contract.AsError(err).Field != c.field {
			t.Errorf("%s: %v, want %v at %q", name, err, c.err, c.field)
		}
	}
	w.refunded(t, id, 1000)
}

// TestARefundThatPaymentsRefusesFreesItsAmount asks for the same money twice.
func TestARefundThatPaymentsRefusesFreesItsAmount(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	id := w.delivered(t)
	w.before("payments.refund", func(context.Context, string) error { return payments.ErrTooMuch })
	if _, err := rpc.Call(t.Context(), w.client, wire.Refund, refundOf(id, 0)); err != nil {
		t.Fatal(err)
	}
	bustest.Eventually(t, patience, func() bool { return w.get(t, id).Refunds[0].Status == wire.RefundFailed }, "the refund to fail")
	w.before("payments.refund", nil)
	if _, err := rpc.Call(t.Context(), w.client, wire.Refund, refundOf(id, 0)); err != nil {
		t.Fatal(err)
	}
	if o := w.refunded(t, id, 2598); o.Refunds[0].Failure != payments.ErrTooMuch.Reason || o.Refunds[1].Status != wire.RefundDone {
		t.Errorf("refunds %+v", o.Refunds)
	}
}
