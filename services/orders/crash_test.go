package orders

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/eventstore"
	"github.com/ordermesh/ordermesh/bus/flow"
	"github.com/ordermesh/ordermesh/bus/flow/flowtest"
	"github.com/ordermesh/ordermesh/contracts/inventory"
	"github.com/ordermesh/ordermesh/contracts/line"
	"github.com/ordermesh/ordermesh/contracts/money"
	"github.com/ordermesh/ordermesh/contracts/orders"
	"github.com/ordermesh/ordermesh/contracts/payments"
	"github.com/ordermesh/ordermesh/contracts/shipping"
	"github.com/ordermesh/ordermesh/services/orders/domain"
)

// ledger is the world around a checkout: it remembers effects, not calls. Each call
// fails once after its effect, as if the answer were lost, unless the ledger is reliable.
type ledger struct {
	orders *entity

	mu      sync.Mutex
	effects []string
	lost    map[string]bool

	short, declines, silent bool
	reliable                bool
	cancelDuring            string // the call during which the customer cancels
}

func newLedger(short, declines bool, cancelDuring string) *ledger {
	return &ledger{
		orders: newEntity(eventstore.NewMemoryLog()), lost: map[string]bool{},
		short: short, declines: declines, cancelDuring: cancelDuring,
	}
}

var errLost = errors.New("the answer is lost")

// did notes an effect once, however often it is asked for.
func (l *ledger) did(ctx context.Context, call, effect string) error {
	if call == l.cancelDuring {
		if _, _, err := l.orders.Do(ctx, "test", "", domain.Cancel{Reason: "changed my mind"}); err != nil {
			return err
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if effect != "" && !slices.Contains(l.effects, effect) {
		l.effects = append(l.effects, effect)
	}
	if !l.lost[call] && !l.reliable {
		l.lost[call] = true
		return errLost
	}
	return nil
}

func (l *ledger) has(effect string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Contains(l.effects, effect)
}

func (l *ledger) reserve(ctx context.Context, _ string, _ inventory.ReserveLines) (inventory.Status, error) {
	if l.short {
		return inventory.Refused, l.did(ctx, "reserve", "")
	}
	return inventory.Held, l.did(ctx, "reserve", "held")
}

func (l *ledger) release(ctx context.Context, _, _ string) error {
	switch {
	case l.has("sold"):
		return l.did(ctx, "release", "restocked")
	case l.has("held"):
		return l.did(ctx, "release", "released")
	}
	return l.did(ctx, "release", "")
}

func (l *ledger) commit(ctx context.Context, _, _ string) error { return l.did(ctx, "commit", "sold") }

func (l *ledger) authorize(ctx context.Context, _ string, _ payments.AuthorizePayment) (payments.Payment, error) {
	if l.silent {
		return payments.Payment{}, contract.ErrUnavailable
	}
	if l.declines {
		return payments.Payment{Status: payments.Declined}, l.did(ctx, "authorize", "declined")
	}
	return payments.Payment{PaymentID: "ch_7", Status: payments.Authorized}, l.did(ctx, "authorize", "authorized")
}

func (l *ledger) capture(ctx context.Context, _, _ string) error {
	return l.did(ctx, "capture", "captured")
}

func (l *ledger) void(ctx context.Context, _, _ string) error {
	switch {
	case l.has("captured"):
		return payments.ErrCaptured
	case l.has("authorized"):
		return l.did(ctx, "void", "voided")
	}
	return l.did(ctx, "void", "")
}

func (l *ledger) refund(ctx context.Context, _ string, r payments.RefundPayment) error {
	return l.did(ctx, "refund", "refunded"+r.RefundID)
}

func (l *ledger) create(ctx context.Context, _ string, _ shipping.CreateShipment) (shipping.Shipment, error) {
	return shipping.Shipment{ShipmentID: "tr_7"}, l.did(ctx, "create", "shipped")
}

// TestACheckoutEndsTheSameWhereverItCrashes crashes each way a checkout can go after
// every record of its journal, while each answer of the others is lost once.
func TestACheckoutEndsTheSameWhereverItCrashes(t *testing.T) {
	t.Parallel()
	gone := []string{"order.placed.v1", "order.cancelled.v1"}
	goneLater := []string{"order.placed.v1", "order.confirmed.v1", "order.cancelled.v1"}
	shipped := []string{"held", "authorized", "captured", "sold", "shipped"}
	for name, c := range map[string]struct {
		ledger  func() *ledger
		events  []string
		effects []string
		reason  string
	}{
		"the provider does not answer": {
			func() *ledger { l := newLedger(false, false, ""); l.silent = true; return l }, gone,
			[]string{"held", "released"}, orders.ReasonPaymentTimeout,
		},
		"to the carrier": {
			func() *ledger { return newLedger(false, false, "") },
			[]string{"order.placed.v1", "order.confirmed.v1", "order.dispatched.v1", "order.shipped.v1"},
			shipped, "",
		},
		"out of stock": {func() *ledger { return newLedger(true, false, "") }, gone, nil, orders.ReasonOutOfStock},
		"declined": {
			func() *ledger { return newLedger(false, true, "") }, gone,
			[]string{"held", "declined", "released"}, orders.ReasonPaymentDeclined,
		},
		"cancelled while stock is held": {
			func() *ledger { return newLedger(false, false, "reserve") }, gone,
			[]string{"held", "authorized", "voided", "released"}, "changed my mind",
		},
		"cancelled while money is taken": {
			func() *ledger { return newLedger(false, false, "capture") }, goneLater,
			[]string{"held", "authorized", "captured", "sold", "refunded", "restocked"}, "changed my mind",
		},
	} {
		for _, reliable := range []bool{false, true} { // with and without retries, which store what waits to be stored
			t.Run(fmt.Sprintf("%s, reliable %v", name, reliable), func(t *testing.T) {
				t.Parallel()
				var l *ledger
				define := func() flow.Definition[checkoutInput, checkoutResult] {
					l = c.ledger()
					l.reliable = reliable
					l.place(t)
					return l.checkout().definition(checkoutVersion)
				}
				in := ordinary
				in.PayMS = time.Minute.Milliseconds()
				flowtest.CrashEverywhere(t, define, in, func(t *testing.T, _ flowtest.Outcome[checkoutResult]) {
					t.Helper()
					l.check(t, c.events, c.effects, c.reason)
				}, flowtest.AllPairs())
			})
		}
	}
}

// ordinary is the input of a checkout that nothing holds up, as version 1 had it.
var ordinary = checkoutInput{OrderID: "test", Lines: []line.Line{{SKU: "TEA-001", Quantity: 2}}, Total: money.New(2598, "EUR"), Reference: "sr1"}

func (l *ledger) checkout() *checkout {
	return &checkout{orders: l.orders, shelf: l, bank: l, post: l}
}

// check compares the order's history and the effects with what is wanted.
func (l *ledger) check(t *testing.T, events, effects []string, reason string) {
	t.Helper()
	history, err := l.orders.History(t.Context(), "test")
	if err != nil {
		t.Fatal(err)
	}
	o := viewOf("test", history)
	var got []string
	for _, h := range o.History {
		got = append(got, h.Type)
	}
	if diff := cmp.Diff(events, got); diff != "" {
		t.Errorf("the order's history: %s", diff)
	}
	if diff := cmp.Diff(effects, l.effects); diff != "" {
		t.Errorf("effects: %s", diff)
	}
	if o.Reason != reason {
		t.Errorf("cancelled because of %q, want %q", o.Reason, reason)
	}
}

// TestARefundEndsTheSameWhereverItCrashes: the money is given back once and noted once.
func TestARefundEndsTheSameWhereverItCrashes(t *testing.T) {
	t.Parallel()
	var l *ledger
	euros := money.New(1000, "EUR")
	define := func() flow.Definition[refundInput, refundResult] {
		l = newLedger(false, false, "")
		l.place(t)
		for _, c := range []domain.Command{
			domain.Confirm{}, domain.Dispatch{}, domain.Deliver{}, domain.Refund{ID: "r1", Amount: euros, Reason: "late"},
		} {
			if _, _, err := l.orders.Do(t.Context(), "test", "", c); err != nil {
				t.Fatal(err)
			}
		}
		return (&refund{orders: l.orders, bank: l}).definition()
	}
	in := refundInput{OrderID: "test", RefundID: "r1", Amount: euros}
	flowtest.CrashEverywhere(t, define, in, func(t *testing.T, _ flowtest.Outcome[refundResult]) {
		t.Helper()
		history, err := l.orders.History(t.Context(), "test")
		if err != nil {
			t.Fatal(err)
		}
		o := viewOf("test", history)
		if diff := cmp.Diff([]string{"refundedr1"}, l.effects); diff != "" {
			t.Errorf("effects: %s", diff)
		}
		if o.Refunded != euros || len(o.Refunds) != 1 || o.Refunds[0].Status != orders.RefundDone || o.Version != 7 {
			t.Errorf("version %d, refunds %+v", o.Version, o.Refunds)
		}
	})
}

func (l *ledger) place(t *testing.T) {
	t.Helper()
	_, _, err := l.orders.Do(t.Context(), "test", "place", domain.Place{
		CustomerID: "c1", Hash: "h1", At: time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC),
		Lines: []orders.Line{{SKU: "TEA-001", Name: "Assam", Quantity: 2, UnitPrice: money.New(1299, "EUR")}},
	})
	if err != nil {
		t.Fatal(err)
	}
}
