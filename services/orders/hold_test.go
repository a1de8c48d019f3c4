package orders_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ordermesh/ordermesh/bus/config"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/rpc"
	"github.com/ordermesh/ordermesh/bus/telemetry"
	"github.com/ordermesh/ordermesh/contracts/inventory"
	wire "github.com/ordermesh/ordermesh/contracts/orders"
	"github.com/ordermesh/ordermesh/contracts/payments"
	"github.com/ordermesh/ordermesh/services/orders"
)

// with is a service whose settings are not all the defaults.
func with(change func(*wire.Settings)) orders.Config {
	s := config.Defaults[wire.Settings]()
	change(&s)
	return orders.Config{Settings: config.Fixed(s)}
}

// overLimit holds every order of the sample request.
func overLimit(hold time.Duration) orders.Config {
	return with(func(s *wire.Settings) { s.HoldOver, s.HoldFor = 2597, hold })
}

func (w *world) decide(ctx context.Context, m contract.Method[wire.DecideOrder, wire.Order], id string, opts ...rpc.CallOption) (wire.Order, error) {
	return rpc.Call(ctx, w.client, m, wire.DecideOrder{OrderID: id, Reason: "looked at it"}, opts...)
}

func TestAnOrderOverTheLimitWaitsForApproval(t *testing.T) {
	t.Parallel()
	w := newWorldWith(t, 2, overLimit(time.Hour))
	before := time.Now()
	id := w.place(t, request("c1", "tok_ok")).OrderID
	o := w.reaches(t, id, wire.OnHold)
	if o.Hold == nil || o.Hold.Reason != wire.HoldOverLimit || o.Hold.Until.Before(before.Add(time.Hour)) || o.Hold.Decision != "" {
		t.Errorf("hold %+v", o.Hold)
	}
	if stock, money, _ := w.at(id); stock != "" || money != "" {
		t.Errorf("for an order on hold stock is %s and money %s", stock, money)
	}
	for range 2 {
		if o, err := w.decide(t.Context(), wire.Approve, id, rpc.WithCommandID("k")); err != nil || o.Hold.Decision != wire.Approved || o.Hold.Note != "looked at it" {
			t.Errorf("approve: %+v, %v", o.Hold, err)
		}
	}
	if _, err := w.decide(t.Context(), wire.Reject, id); !errors.Is(err, wire.ErrNotOnHold) {
		t.Errorf("reject of an approved order: %v", err)
	}
	o = w.reaches(t, id, wire.Shipped)
	want := []string{"order.placed.v1", "order.held.v1", "order.approved.v1", "order.confirmed.v1", "order.dispatched.v1", "order.shipped.v1"}
	if diff := cmp.Diff(want, types(o)); diff != "" {
		t.Error(diff)
	}
}

func TestAnOrderAtTheLimitIsNotHeld(t *testing.T) {
	t.Parallel()
	w := newWorldWith(t, 1, with(func(s *wire.Settings) { s.HoldOver = 2598 }))
	o := w.reaches(t, w.place(t, request("c1", "tok_ok")).OrderID, wire.Shipped)
	if o.Hold != nil {
		t.Errorf("hold %+v", o.Hold)
	}
	for _, m := range []contract.Method[wire.DecideOrder, wire.Order]{wire.Approve, wire.Reject} {
		if _, err := w.decide(t.Context(), m, o.OrderID); !errors.Is(err, wire.ErrNotOnHold) {
			t.Errorf("%s: %v", m.Subject(), err)
		}
	}
}

func TestAHeldOrderIsNotLetGo(t *testing.T) {
	t.Parallel()
	w := newWorldWith(t, 1, overLimit(time.Hour))
	customer := telemetry.WithActor(t.Context(), contract.Actor{Who: "shop", For: "c1"})
	for reason, end := range map[string]func(id string) error{
		wire.ReasonRejected: func(id string) error {
			if _, err := w.decide(customer, wire.Approve, id); !errors.Is(err, wire.ErrStaff) {
				t.Errorf("a customer approves: %v", err)
			}
			_, err := w.decide(t.Context(), wire.Reject, id)
			return err
		},
		"bored": func(id string) error {
			_, err := rpc.Call(customer, w.client, wire.Cancel, wire.CancelOrder{OrderID: id, Reason: "bored"})
			return err
		},
	} {
		id := w.place(t, request("c1", "tok_ok")).OrderID
		w.reaches(t, id, wire.OnHold)
		if err := end(id); err != nil {
			t.Errorf("%s: %v", reason, err)
		}
		if o := w.get(t, id); o.Status != wire.Cancelled || o.Reason != reason {
			t.Errorf("%s %q, want %q", o.Status, o.Reason, reason)
		}
		w.gaveBack(t, id, "", "") // the checkout is woken, and nothing was taken
		if _, err := w.decide(t.Context(), wire.Approve, id); !errors.Is(err, wire.ErrNotOnHold) {
			t.Errorf("approve of an order that is %s: %v", reason, err)
		}
	}
}

func TestAHoldExpires(t *testing.T) {
	t.Parallel()
	w := newWorldWith(t, 1, overLimit(300*time.Millisecond))
	o := w.reaches(t, w.place(t, request("c1", "tok_ok")).OrderID, wire.Cancelled)
	if o.Reason != wire.ReasonHoldExpired {
		t.Errorf("cancelled because of %q", o.Reason)
	}
	w.gaveBack(t, o.OrderID, "", "")
}

func TestAPaymentHasADeadline(t *testing.T) {
	t.Parallel()
	w := newWorldWith(t, 1, with(func(s *wire.Settings) { s.PayWithin = 200 * time.Millisecond }))
	w.before("payments.authorize", func(context.Context, string) error { return contract.ErrUnavailable })
	o := w.reaches(t, w.place(t, request("c1", "tok_ok")).OrderID, wire.Cancelled)
	if o.Reason != wire.ReasonPaymentTimeout {
		t.Errorf("cancelled because of %q", o.Reason)
	}
	w.gaveBack(t, o.OrderID, inventory.Released, payments.Voided)
}

// TestCancellingWakesACheckoutThatWaits: nothing stays reserved while a service is down.
func TestCancellingWakesACheckoutThatWaits(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	tried := make(chan struct{}, 1)
	w.before("payments.authorize", func(context.Context, string) error {
		select {
		case tried <- struct{}{}:
		default:
		}
		return contract.ErrUnavailable.After(time.Hour) // nobody would ask again before
	})
	id := w.place(t, request("c1", "tok_ok")).OrderID
	<-tried
	if _, err := rpc.Call(t.Context(), w.client, wire.Cancel, wire.CancelOrder{OrderID: id, Reason: "bored"}); err != nil {
		t.Fatal(err)
	}
	w.gaveBack(t, id, inventory.Released, payments.Voided)
}
