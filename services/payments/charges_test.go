package payments

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/rpc"
	"github.com/ordermesh/ordermesh/bus/telemetry"
	"github.com/ordermesh/ordermesh/contracts/money"
	"github.com/ordermesh/ordermesh/contracts/payments"
	wire "github.com/ordermesh/ordermesh/contracts/sandbox"
)

func TestTheProvidersBookIsListedPageByPage(t *testing.T) {
	t.Parallel()
	w := newWorld(t, server(t), nil)
	for i := range 5 {
		_, err := w.authorize(fmt.Sprint("o", i), wire.TokenOK)
		check(t, err)
	}
	_, err := w.authorize("declined", wire.TokenDeclined)
	check(t, err)
	w.captured("paid")
	_, err = w.refund("paid", "r1", 1000)
	check(t, err)
	_, err = w.refund("paid", "r2", 500)
	check(t, err)
	want := []payments.Charge{
		{OrderID: "declined", PaymentID: "ch_" + chargeKey("declined"), Status: payments.Declined, Amount: amount},
		{OrderID: "paid", PaymentID: "ch_" + chargeKey("paid"), Status: payments.Captured, Amount: amount, Refunded: money.New(1500, "EUR")},
	}
	var got []payments.Charge
	req := payments.ListCharges{Limit: 3}
	for pages := 1; ; pages++ {
		page, err := rpc.Call(t.Context(), w.client, payments.Charges, req)
		check(t, err)
		got = append(got, page.Charges...)
		if req.Cursor = page.NextCursor; req.Cursor == "" {
			if pages != 3 {
				t.Errorf("%d pages", pages)
			}
			break
		}
	}
	if diff := cmp.Diff(want, got[5:]); diff != "" {
		t.Error(diff)
	}
	one, err := rpc.Call(t.Context(), w.client, payments.Charges, payments.ListCharges{OrderID: "paid"})
	check(t, err)
	if diff := cmp.Diff(want[1:], one.Charges); diff != "" {
		t.Error(diff)
	}
	if none, err := rpc.Call(t.Context(), w.client, payments.Charges, payments.ListCharges{OrderID: "never"}); err != nil || len(none.Charges) != 0 {
		t.Errorf("an order without a charge: %+v, %v", none, err)
	}
	if _, err := rpc.Call(t.Context(), w.client, payments.Charges, payments.ListCharges{Cursor: "9223372036854775808"}); !errors.Is(err, contract.ErrInvalid) {
		t.Errorf("a foreign cursor: %v", err)
	}
	customer := telemetry.WithActor(t.Context(), contract.Actor{Who: "shop", For: "c1"})
	if page, err := rpc.Call(customer, w.client, payments.Charges, payments.ListCharges{}); err != nil || len(page.Charges) != 0 {
		t.Errorf("a customer sees %+v, %v", page, err)
	}
}
