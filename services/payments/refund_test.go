package payments

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/rpc"
	"github.com/ordermesh/ordermesh/contracts/money"
	"github.com/ordermesh/ordermesh/contracts/payments"
	wire "github.com/ordermesh/ordermesh/contracts/sandbox"
)

// given is what the provider has given back of an order's charge, in cents, by refund.
func (w *world) given(order string) (refunds []int64, sum int64) {
	w.t.Helper()
	c, err := rpc.Call(w.t.Context(), w.client, wire.QueryCharge, wire.ChargeKey{Key: chargeKey(order)})
	check(w.t, err)
	for _, r := range c.Refunds {
		refunds = append(refunds, r.Amount.Minor)
		sum += r.Amount.Minor
	}
	return refunds, sum
}

func TestAPaymentIsRefundedInParts(t *testing.T) {
	t.Parallel()
	w := newWorld(t, server(t), nil)
	w.captured("o")
	for _, c := range []struct {
		id       string
		cents    int64
		refunded int64
		status   payments.Status
		version  uint64
	}{
		{"r1", 1000, 1000, payments.Captured, 3},
		{"r2", 500, 1500, payments.Captured, 4},
		{"r1", 1000, 1500, payments.Captured, 4},
		{"r1", 0, 1500, payments.Captured, 4}, // whatever its amount was
		{"r3", 0, 2598, payments.Refunded, 5},
		{"r2", 500, 2598, payments.Refunded, 5},
		{"r4", 0, 2598, payments.Refunded, 5}, // nothing is left
		{"", 0, 2598, payments.Refunded, 5},
	} {
		p, err := w.refund("o", c.id, c.cents)
		if err != nil || p.Status != c.status || p.Refunded != money.New(c.refunded, "EUR") || p.Version != c.version {
			t.Errorf("refund %s of %d: %+v, %v", c.id, c.cents, p, err)
		}
	}
	if refunds, _ := w.given("o"); fmt.Sprint(refunds) != "[1000 500 1098]" {
		t.Errorf("the provider has given back %v", refunds)
	}
}

func TestRefundsThatDoNotFit(t *testing.T) {
	t.Parallel()
	w := newWorld(t, server(t), nil)
	if _, err := w.refund("none", "r1", 1); !errors.Is(err, payments.ErrUnknown) {
		t.Errorf("refund of nothing: %v", err)
	}
	w.captured("o")
	_, err := w.refund("o", "r1", 1000)
	check(t, err)
	if _, err := w.refund("o", "r1", 999); !errors.Is(err, payments.ErrRefund) {
		t.Errorf("another amount under the same id: %v", err)
	}
	if _, err := w.refund("o", "r2", 1599); !errors.Is(err, payments.ErrTooMuch) || contract.AsError(err).Field != "/amount/amount" {
		t.Errorf("more than is left: %v", err)
	}
	dollars := money.In(money.New(1, "USD"))
	_, err = rpc.Call(t.Context(), w.client, payments.Refund, payments.RefundPayment{OrderID: "o", RefundID: "r2", Amount: &dollars})
	if !errors.Is(err, payments.ErrTooMuch) || contract.AsError(err).Field != "/amount/currency" {
		t.Errorf("another currency: %v", err)
	}
	if refunds, _ := w.given("o"); fmt.Sprint(refunds) != "[1000]" {
		t.Errorf("the provider has given back %v", refunds)
	}
}

// TestARefundIsMadeOnceWhateverIsLost loses the answer of the provider, first by a crash
// and then by a time-out.
func TestARefundIsMadeOnceWhateverIsLost(t *testing.T) {
	t.Parallel()
	w := newWorld(t, server(t), crashing("refund"))
	w.captured("o")
	if _, err := w.refund("o", "r1", 1000); !errors.Is(err, contract.ErrInternal) {
		t.Fatalf("no crash: %v", err)
	}
	w.serve(func(p Provider) Provider { return silent{p} })
	for range 20 { // either process answers
		p, err := w.refund("o", "r1", 1000)
		if err != nil || p.Refunded != money.New(1000, "EUR") {
			t.Fatalf("again: %+v, %v", p, err)
		}
	}
	for range 20 {
		if p, err := w.refund("o", "r2", 0); err != nil || p.Status != payments.Refunded {
			t.Fatalf("the rest: %+v, %v", p, err)
		}
	}
	if refunds, _ := w.given("o"); fmt.Sprint(refunds) != "[1000 1598]" {
		t.Errorf("the provider has given back %v", refunds)
	}
}

// silent gives money back and never says so.
type silent struct{ Provider }

func (s silent) Refund(ctx context.Context, r wire.RefundCharge) (wire.Charge, error) {
	if _, err := s.Provider.Refund(ctx, r); err != nil {
		return wire.Charge{}, err
	}
	return wire.Charge{}, contract.ErrDeadline
}

func TestRefundsAtTheSameTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t, server(t), nil)
	w.serve(nil) // a second process
	w.captured("o")
	var wg sync.WaitGroup
	for i := range 10 {
		for range 2 {
			wg.Go(func() {
				if _, err := w.refund("o", fmt.Sprint("r", i), 400); err != nil && !errors.Is(err, payments.ErrTooMuch) {
					t.Error(err)
				}
			})
		}
	}
	wg.Wait()
	p, err := w.get("o")
	check(t, err)
	if refunds, sum := w.given("o"); len(refunds) != 6 || sum != 2400 || p.Refunded != money.New(sum, "EUR") {
		t.Errorf("the provider has given back %v, payments says %+v", refunds, p)
	}
}
