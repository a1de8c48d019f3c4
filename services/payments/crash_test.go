package payments

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/contracts/payments"
	wire "github.com/ordermesh/ordermesh/contracts/sandbox"
)

// between calls something when the provider has answered and nobody knows yet.
type between struct {
	Provider
	after func(operation string) error
}

func (b between) then(operation string, c wire.Charge, err error) (wire.Charge, error) {
	if err != nil {
		return c, err
	}
	return c, b.after(operation)
}

func (b between) Authorize(ctx context.Context, r wire.AuthorizeCharge) (wire.Charge, error) {
	c, err := b.Provider.Authorize(ctx, r)
	return b.then("authorize", c, err)
}

func (b between) Capture(ctx context.Context, id string) (wire.Charge, error) {
	c, err := b.Provider.Capture(ctx, id)
	return b.then("capture", c, err)
}

func (b between) Void(ctx context.Context, key string) (wire.Charge, error) {
	c, err := b.Provider.Void(ctx, key)
	return b.then("void", c, err)
}

func (b between) Refund(ctx context.Context, r wire.RefundCharge) (wire.Charge, error) {
	c, err := b.Provider.Refund(ctx, r)
	return b.then("refund", c, err)
}

// crashing breaks each operation off once, after the provider has done it.
func crashing(operations ...string) func(Provider) Provider {
	var mu sync.Mutex
	left := map[string]bool{}
	for _, o := range operations {
		left[o] = true
	}
	return func(p Provider) Provider {
		return between{p, func(operation string) error {
			mu.Lock()
			defer mu.Unlock()
			if left[operation] {
				left[operation] = false
				panic("crash between the provider and the append")
			}
			return nil
		}}
	}
}

func TestACrashAfterTheProviderIsRepaired(t *testing.T) {
	t.Parallel()
	w := newWorld(t, server(t), crashing("authorize", "capture", "refund"))
	twice := func(doing string, call func() (payments.Payment, error), want payments.Status, at wire.ChargeStatus) {
		t.Helper()
		if _, err := call(); !errors.Is(err, contract.ErrInternal) {
			t.Errorf("%s that crashes: %v", doing, err)
		}
		if c := w.charge("o"); c != at {
			t.Errorf("%s: the provider says %s", doing, c)
		}
		if p, err := call(); err != nil || p.Status != want {
			t.Errorf("%s again: %+v, %v", doing, p, err)
		}
		if c := w.charge("o"); c != at || w.charges() != 1 {
			t.Errorf("%s again: the provider says %s, %d charges", doing, c, w.charges())
		}
	}
	twice("authorize", func() (payments.Payment, error) { return w.authorize("o", wire.TokenOK) }, payments.Authorized, wire.ChargeAuthorized)
	twice("capture", func() (payments.Payment, error) { return w.do(payments.Capture, "o") }, payments.Captured, wire.ChargeCaptured)
	twice("refund", func() (payments.Payment, error) { return w.refund("o", "", 0) }, payments.Refunded, wire.ChargeRefunded)
}

func TestACrashIsFollowedByAChangeOfMind(t *testing.T) {
	t.Parallel()
	w := newWorld(t, server(t), crashing("authorize", "capture", "void"))
	fails := func(_ payments.Payment, err error) {
		t.Helper()
		if !errors.Is(err, contract.ErrInternal) {
			t.Fatalf("no crash: %v", err)
		}
	}
	// Charged, not noted, then void: which crashes as well.
	fails(w.authorize("a", wire.TokenOK))
	fails(w.do(payments.Void, "a"))
	if _, err := w.authorize("a", wire.TokenOK); !errors.Is(err, payments.ErrVoided) {
		t.Errorf("authorize after a void that was not noted: %v", err)
	}
	if p, err := w.do(payments.Void, "a"); err != nil || p.Status != payments.Voided || w.charge("a") != wire.ChargeVoided {
		t.Errorf("void: %+v, %v; the provider says %s", p, err, w.charge("a"))
	}
	// Captured, not noted, then void, which must become a refund.
	_, err := w.authorize("b", wire.TokenOK)
	check(t, err)
	fails(w.do(payments.Capture, "b"))
	if _, err := w.do(payments.Void, "b"); !errors.Is(err, payments.ErrCaptured) {
		t.Errorf("void after a capture that was not noted: %v", err)
	}
	if p, err := w.refund("b", "", 0); err != nil || p.Status != payments.Refunded || w.charge("b") != wire.ChargeRefunded {
		t.Errorf("refund: %+v, %v; the provider says %s", p, err, w.charge("b"))
	}
}

func TestAnAuthorizationThatComesTooLateIsVoided(t *testing.T) {
	t.Parallel()
	var w *world
	w = newWorld(t, server(t), func(p Provider) Provider {
		return between{p, func(operation string) error {
			if operation == "authorize" { // the money is reserved, and now somebody voids
				if v, err := w.do(payments.Void, "o"); err != nil || v.Status != payments.Voided {
					t.Errorf("void: %+v, %v", v, err)
				}
			}
			return nil
		}}
	})
	if _, err := w.authorize("o", wire.TokenOK); !errors.Is(err, payments.ErrVoided) {
		t.Errorf("authorize: %v", err)
	}
	if c := w.charge("o"); c != wire.ChargeVoided {
		t.Errorf("the provider says %s", c)
	}
}

func TestVoidAndCaptureRace(t *testing.T) {
	t.Parallel()
	w := newWorld(t, server(t), nil)
	for i := range 20 {
		order := fmt.Sprint("o", i)
		_, err := w.authorize(order, wire.TokenOK)
		check(t, err)
		var wg sync.WaitGroup
		var captured, voided error
		wg.Go(func() { _, captured = w.do(payments.Capture, order) })
		wg.Go(func() { _, voided = w.do(payments.Void, order) })
		wg.Wait()
		p, err := w.get(order)
		check(t, err)
		switch w.charge(order) {
		case wire.ChargeCaptured:
			if captured != nil || !errors.Is(voided, payments.ErrCaptured) || p.Status != payments.Captured {
				t.Errorf("captured: %v, %v, %s", captured, voided, p.Status)
			}
		case wire.ChargeVoided:
			if voided != nil || !errors.Is(captured, payments.ErrVoided) || p.Status != payments.Voided {
				t.Errorf("voided: %v, %v, %s", captured, voided, p.Status)
			}
		default:
			t.Errorf("the provider says %s", w.charge(order))
		}
	}
}
