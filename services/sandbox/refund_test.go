package sandbox_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/rpc"
	"github.com/ordermesh/ordermesh/contracts/money"
	wire "github.com/ordermesh/ordermesh/contracts/sandbox"
	"github.com/ordermesh/ordermesh/services/sandbox"
)

// captured returns a client of a provider that has taken the money of the charge "ch_k".
func captured(t *testing.T, b *bustest.Broker, processes int) *rpc.Client {
	t.Helper()
	for range processes {
		provider(t, b.Dial(t, bustest.WithService("provider")), sandbox.ProviderConfig{})
	}
	client := patient(b.Dial(t))
	_, err := rpc.Call(t.Context(), client, wire.Authorize, charge("k", wire.TokenOK))
	check(t, err)
	_, err = rpc.Call(t.Context(), client, wire.Capture, wire.ChargeRef{ChargeID: "ch_k"})
	check(t, err)
	return client
}

func back(key string, minor int64) wire.RefundCharge {
	return wire.RefundCharge{ChargeID: "ch_k", Key: key, Amount: money.New(minor, "EUR")}
}

func TestAChargeIsRefundedInParts(t *testing.T) {
	t.Parallel()
	client := captured(t, bustest.Server(t, books), 1)
	want := wire.Charge{ChargeID: "ch_k", Status: wire.ChargeCaptured, Amount: amount}
	for _, r := range []wire.ChargeRefund{{Key: "a", Amount: money.New(300, "EUR")}, {Key: "b", Amount: money.New(900, "EUR")}} {
		want.Refunds = append(want.Refunds, r)
		for range 2 {
			got, err := rpc.Call(t.Context(), client, wire.Refund, wire.RefundCharge{ChargeID: "ch_k", Key: r.Key, Amount: r.Amount})
			check(t, err)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("refund %s: %s", r.Key, diff)
			}
		}
	}
	for name, c := range map[string]struct {
		request wire.RefundCharge
		err     error
	}{
		"more than is left":       {back("c", 100), wire.ErrRefundMuch},
		"nothing":                 {back("c", 0), wire.ErrRefundMuch},
		"another currency":        {wire.RefundCharge{ChargeID: "ch_k", Key: "c", Amount: money.New(1, "USD")}, wire.ErrRefundMuch},
		"the key of another":      {back("a", 301), wire.ErrRefundKey},
		"a charge that is not":    {wire.RefundCharge{ChargeID: "ch_x", Key: "c"}, wire.ErrNoCharge},
		"less than nothing":       {back("c", -1), money.ErrNegative},
		"a key that is no key":    {back("a.b", 1), contract.ErrInvalid},
		"a charge that is no key": {wire.RefundCharge{ChargeID: ">"}, contract.ErrInvalid},
	} {
		if got, err := rpc.Call(t.Context(), client, wire.Refund, c.request); err == nil || contract.AsError(err).Code != contract.AsError(c.err).Code {
			t.Errorf("%s: %+v, %v, want %v", name, got, err, c.err)
		}
	}
	want.Status = wire.ChargeRefunded
	want.Refunds = append(want.Refunds, wire.ChargeRefund{Key: "rest", Amount: money.New(99, "EUR")})
	for range 2 {
		got, err := rpc.Call(t.Context(), client, wire.Refund, wire.RefundCharge{ChargeID: "ch_k", Key: "rest"})
		check(t, err)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("the rest: %s", diff)
		}
	}
	got, err := rpc.Call(t.Context(), client, wire.QueryCharge, wire.ChargeKey{Key: "k"})
	check(t, err)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("query: %s", diff)
	}
}

func TestRefundsAtTheSameTimeGiveBackNoMoreThanThereIs(t *testing.T) {
	t.Parallel()
	b := bustest.Server(t, books)
	client := captured(t, b, 2)
	const each = 100
	var wg sync.WaitGroup
	var mu sync.Mutex
	made := 0
	for i := range 20 {
		for range 2 { // each is asked for twice
			wg.Go(func() {
				_, err := rpc.Call(t.Context(), client, wire.Refund, back(fmt.Sprint("r", i), each))
				if err != nil && !errors.Is(err, wire.ErrRefundMuch) {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					made++
				}
			})
		}
	}
	wg.Wait()
	got, err := rpc.Call(t.Context(), client, wire.QueryCharge, wire.ChargeKey{Key: "k"})
	check(t, err)
	seen := map[string]bool{}
	for _, r := range got.Refunds {
		if seen[r.Key] || r.Amount.Minor != each {
			t.Errorf("refund %+v", r)
		}
		seen[r.Key] = true
	}
	if want := int(amount.Minor / each); len(got.Refunds) != want || made != 2*want {
		t.Errorf("%d refunds of %d, %d answers, want %d and %d", len(got.Refunds), each, made, want, 2*want)
	}
}

// TestARefundOfAnOldBook: records without an amount are of the whole charge.
func TestARefundOfAnOldBook(t *testing.T) {
	t.Parallel()
	b := bustest.Server(t, books)
	client := captured(t, b, 1)
	kv, err := b.Dial(t).JetStream().KeyValue(t.Context(), wire.ProviderBook)
	check(t, err)
	old, err := contract.Marshal(wire.RefundRecord{ChargeID: "ch_k", At: time.Now()})
	check(t, err)
	_, err = kv.Create(t.Context(), wire.RefundKeyIn("ch_k", 1), old)
	check(t, err)
	if got, err := rpc.Call(t.Context(), client, wire.QueryCharge, wire.ChargeKey{Key: "k"}); err != nil || got.Status != wire.ChargeRefunded {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := rpc.Call(t.Context(), client, wire.Refund, back("a", 1)); !errors.Is(err, wire.ErrRefundMuch) {
		t.Errorf("refund of what is refunded: %v", err)
	}
}
