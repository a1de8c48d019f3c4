package orders_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/flow"
	"github.com/ordermesh/ordermesh/bus/rpc"
	"github.com/ordermesh/ordermesh/contracts/inventory"
	"github.com/ordermesh/ordermesh/contracts/money"
	wire "github.com/ordermesh/ordermesh/contracts/orders"
	"github.com/ordermesh/ordermesh/contracts/payments"
	"github.com/ordermesh/ordermesh/contracts/shipping"
)

func TestFromPlacedToDelivered(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	var appends atomic.Int64
	for _, subject := range []string{contract.FlowLog("orders", wire.CheckoutFlow, "*"), "flow.orders.in.*." + wire.CheckoutFlow + ".*"} {
		sub, err := w.conn.NATS().Subscribe(subject, func(*nats.Msg) { appends.Add(1) })
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = sub.Unsubscribe() }()
	}
	placed := w.place(t, request("c1", "tok_ok"))
	if placed.Status != wire.Placed || placed.Version != 1 || placed.Total != money.New(2598, "EUR") {
		t.Errorf("placed: %+v", placed)
	}
	w.reaches(t, placed.OrderID, wire.Shipped)
	w.deliver(t, placed.OrderID)
	o := w.reaches(t, placed.OrderID, wire.Delivered)
	want := []string{"order.placed.v1", "order.confirmed.v1", "order.dispatched.v1", "order.shipped.v1", "order.delivered.v1"}
	if diff := cmp.Diff(want, types(o)); diff != "" {
		t.Error(diff)
	}
	if o.PaymentID != "ch_"+o.OrderID || o.ShipmentID != "tr_"+o.OrderID || o.Version != 5 {
		t.Errorf("delivered: %+v", o)
	}
	if stock, money, parcels := w.at(o.OrderID); stock != inventory.Committed || money != payments.Captured || parcels != 1 {
		t.Errorf("stock is %s, money %s, %d parcels", stock, money, parcels)
	}
	// An order has a budget of appends: its own five events, and for the checkout the
	// start and one record for each step, the last one with the end.
	if own, flow := w.stored(t, wire.Events.Info().Stream), appends.Load(); own > 5 || flow < 2 || flow > 8 {
		t.Errorf("the order took %d appends and its checkout %d, want at most 5 and 8", own, flow)
	}
}

// stored is how many messages a stream has taken.
func (w *world) stored(t *testing.T, stream string) uint64 {
	t.Helper()
	s, err := w.conn.JetStream().Stream(t.Context(), stream)
	if err != nil {
		t.Fatal(err)
	}
	return s.CachedInfo().State.LastSeq
}

func TestADeclinedPaymentCancelsAndGivesBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	o := w.reaches(t, w.place(t, request("c1", "tok_declined")).OrderID, wire.Cancelled)
	if o.Reason != wire.ReasonPaymentDeclined {
		t.Errorf("cancelled because of %q", o.Reason)
	}
	w.gaveBack(t, o.OrderID, inventory.Released, payments.Declined)
}

func TestOutOfStockCancels(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.before("inventory.reserve", func(_ context.Context, order string) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.stock[order] = inventory.Refused
		return nil
	})
	o := w.reaches(t, w.place(t, request("c1", "tok_ok")).OrderID, wire.Cancelled)
	if o.Reason != wire.ReasonOutOfStock {
		t.Errorf("cancelled because of %q", o.Reason)
	}
	w.gaveBack(t, o.OrderID, inventory.Refused, "")
}

// gaveBack waits until the checkout has ended and the world is as it should be.
func (w *world) gaveBack(t *testing.T, order string, stock inventory.Status, money payments.Status) {
	t.Helper()
	w.checkoutEnds(t, order)
	if s, m, parcels := w.at(order); s != stock || m != money || parcels != 0 {
		t.Errorf("stock is %s (want %s), money %s (want %s), %d parcels", s, stock, m, money, parcels)
	}
}

func (w *world) checkoutEnds(t *testing.T, order string) {
	t.Helper()
	flows := flow.NewClient(w.conn, "orders")
	bustest.Eventually(t, patience, func() bool {
		s, err := flows.Get(t.Context(), wire.CheckoutFlow, order)
		return err == nil && s.Status.Ended()
	}, "the checkout to end")
}

// TestCancellingWinsBeforeDispatch cancels while each step is under way. The checkout is
// stopped then or a step later; whatever it had taken by then goes back.
func TestCancellingWinsBeforeDispatch(t *testing.T) {
	t.Parallel()
	for method, c := range map[string]struct {
		stock []inventory.Status
		money []payments.Status
	}{
		"inventory.reserve":  {[]inventory.Status{inventory.Released}, []payments.Status{"", payments.Voided}},
		"payments.authorize": {[]inventory.Status{inventory.Released}, []payments.Status{payments.Voided}},
		"payments.capture":   {[]inventory.Status{inventory.Released, inventory.Returned}, []payments.Status{payments.Refunded}},
		"inventory.commit":   {[]inventory.Status{inventory.Returned}, []payments.Status{payments.Refunded}},
	} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 1)
			w.before(method, func(ctx context.Context, order string) error {
				_, err := rpc.Call(ctx, w.client, wire.Cancel, wire.CancelOrder{OrderID: order, Reason: "changed my mind"})
				return err
			})
			o := w.reaches(t, w.place(t, request("c1", "tok_ok")).OrderID, wire.Cancelled)
			if o.Reason != "changed my mind" {
				t.Errorf("cancelled because of %q", o.Reason)
			}
			w.checkoutEnds(t, o.OrderID)
			if stock, money, parcels := w.at(o.OrderID); !slices.Contains(c.stock, stock) || !slices.Contains(c.money, money) || parcels != 0 {
				t.Errorf("stock is %s (want %s), money %s (want %s), %d parcels", stock, c.stock, money, c.money, parcels)
			}
		})
	}
}

func TestAfterDispatchThereIsNoWayBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	var tries atomic.Int64
	w.before("shipping.create", func(ctx context.Context, order string) error {
		_, err := rpc.Call(ctx, w.client, wire.Cancel, wire.CancelOrder{OrderID: order, Reason: "changed my mind"})
		if !errors.Is(err, wire.ErrDispatched) {
			t.Errorf("cancelling a dispatched order: %v", err)
		}
		if tries.Add(1) < 3 {
			return shipping.ErrCancelled // a refusal, and yet it is tried again
		}
		return nil
	})
	o := w.reaches(t, w.place(t, request("c1", "tok_ok")).OrderID, wire.Shipped)
	if stock, money, parcels := w.at(o.OrderID); stock != inventory.Committed || money != payments.Captured || parcels != 1 {
		t.Errorf("stock is %s, money %s, %d parcels", stock, money, parcels)
	}
}

// TestAStoppedCheckoutShipsADispatchedOrder stops the flow, as a person may, when the
// order is paid and can no longer be cancelled: nothing is taken from it, and it is
// shipped.
func TestAStoppedCheckoutShipsADispatchedOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	flows := flow.NewClient(w.conn, "orders")
	w.before("shipping.create", func(ctx context.Context, order string) error {
		if s, err := flows.Get(ctx, wire.CheckoutFlow, order); err == nil && s.Status == flow.Compensating {
			return nil
		}
		if err := flows.Cancel(ctx, wire.CheckoutFlow, order, "stop"); err != nil {
			t.Error(err)
		}
		return contract.ErrUnavailable
	})
	order := w.place(t, request("c1", "tok_ok")).OrderID
	bustest.Eventually(t, patience, func() bool {
		s, err := flows.Get(t.Context(), wire.CheckoutFlow, order)
		return err == nil && s.Status == flow.Cancelled
	}, "the checkout to be cancelled")
	if o := w.get(t, order); o.Status != wire.Shipped {
		t.Errorf("the order is %s", o.Status)
	}
	if stock, money, parcels := w.at(order); stock != inventory.Committed || money != payments.Captured || parcels != 1 {
		t.Errorf("stock is %s, money %s, %d parcels", stock, money, parcels)
	}
}

// TestAStoppedCheckoutGivesBack stops the flow before the order is dispatched.
func TestAStoppedCheckoutGivesBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	flows := flow.NewClient(w.conn, "orders")
	w.before("inventory.commit", func(ctx context.Context, order string) error {
		if err := flows.Cancel(ctx, wire.CheckoutFlow, order, "stop"); err != nil {
			t.Error(err)
		}
		return contract.ErrUnavailable
	})
	o := w.reaches(t, w.place(t, request("c1", "tok_ok")).OrderID, wire.Cancelled)
	if o.Reason != "checkout_stopped" {
		t.Errorf("cancelled because of %q", o.Reason)
	}
	w.gaveBack(t, o.OrderID, inventory.Released, payments.Refunded)
}

func TestFailingServicesAreTriedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	var calls atomic.Int64
	for _, method := range []string{"inventory.reserve", "payments.authorize", "payments.capture", "inventory.commit", "shipping.create"} {
		var once atomic.Bool
		w.before(method, func(context.Context, string) error {
			calls.Add(1)
			if once.CompareAndSwap(false, true) {
				return errors.New("a defect")
			}
			return nil
		})
	}
	w.reaches(t, w.place(t, request("c1", "tok_ok")).OrderID, wire.Shipped)
	if n := calls.Load(); n < 10 {
		t.Errorf("%d calls, want each at least twice", n)
	}
}

// TestNoTokenIsStored reads every message of every stream.
func TestNoTokenIsStored(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	const token = "tok_very_secret_4711"
	o := w.reaches(t, w.place(t, request("c1", token)).OrderID, wire.Shipped)
	w.mu.Lock()
	opened := w.tokens[o.OrderID]
	w.mu.Unlock()
	if opened != token {
		t.Errorf("payments got the token %q", opened)
	}
	var read int
	for _, stream := range []string{wire.Events.Info().Stream, contract.FlowStream} {
		js, err := w.conn.JetStream().Stream(t.Context(), stream)
		if err != nil {
			t.Fatal(err)
		}
		for seq := uint64(1); seq <= js.CachedInfo().State.LastSeq; seq++ {
			m, err := js.GetMsg(t.Context(), seq)
			if errors.Is(err, jetstream.ErrMsgNotFound) {
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			read++
			if strings.Contains(string(m.Data), token) {
				t.Errorf("%s has the token in message %d on %s", stream, seq, m.Subject)
			}
		}
	}
	if read < 5 {
		t.Errorf("only %d messages were read", read)
	}
}
