package orders

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/nats-io/nats.go"

	"github.com/ordermesh/ordermesh/bus/flow"
	"github.com/ordermesh/ordermesh/bus/flow/flowtest"
	"github.com/ordermesh/ordermesh/contracts/inventory"
	"github.com/ordermesh/ordermesh/contracts/orders"
	"github.com/ordermesh/ordermesh/contracts/payments"
	"github.com/ordermesh/ordermesh/services/orders/domain"
)

// runV1 is what version 1 of the checkout did, as it stood.
func (c *checkout) runV1(run *flow.Run, in checkoutInput) (checkoutResult, error) {
	if err := c.sellV1(run, in); err != nil {
		return checkoutResult{}, c.giveUp(run, in.OrderID, err)
	}
	if err := c.ship(run, in); err != nil {
		return checkoutResult{}, err
	}
	return checkoutResult{Status: orders.Shipped}, nil
}

func (c *checkout) sellV1(run *flow.Run, in checkoutInput) error {
	c.undo(run, "release", in.OrderID, c.shelf.release)
	status, err := flow.Step(run, "reserve", func(ctx context.Context) (inventory.Status, error) {
		return c.shelf.reserve(ctx, run.Key("reserve"), inventory.ReserveLines{OrderID: in.OrderID, Lines: in.Lines})
	})
	switch {
	case err != nil:
		return err
	case status == inventory.Refused:
		return orders.ErrOutOfStock
	}
	c.undo(run, "pay_back", in.OrderID, c.payBack)
	payment, err := flow.Step(run, "authorize", func(ctx context.Context) (authorized, error) {
		p, err := c.bank.authorize(ctx, run.Key("authorize"), payments.AuthorizePayment{OrderID: in.OrderID, Amount: in.Total, Reference: in.Reference})
		return authorized{PaymentID: p.PaymentID, Status: p.Status}, err
	})
	switch {
	case err != nil:
		return err
	case payment.Status == payments.Declined:
		return orders.ErrDeclined
	}
	if err := note(run, c.orders, "confirm", in.OrderID, domain.Confirm{PaymentID: payment.PaymentID}); err != nil {
		return err
	}
	if err := effect(run, "capture", in.OrderID, c.bank.capture); err != nil {
		return err
	}
	if err := effect(run, "commit", in.OrderID, c.shelf.commit); err != nil {
		return err
	}
	c.goOn(run, in)
	return note(run, c.orders, "dispatch", in.OrderID, domain.Dispatch{})
}

// mortal is a log whose process ends when it dies.
type mortal struct {
	*flowtest.Log
	end context.CancelFunc
}

func (m mortal) Append(msg *nats.Msg, expect uint64, done func(uint64, error)) {
	m.Log.Append(msg, expect, done)
	if !m.Alive() {
		m.end()
	}
}

// TestCheckoutsOfVersion1GoOnUnderThisCode begins each checkout with the code of version
// 1, lets its process die at every append, and goes on with the code of today.
func TestCheckoutsOfVersion1GoOnUnderThisCode(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		ledger  func() *ledger
		events  []string
		effects []string
		reason  string
	}{
		"to the carrier": {
			func() *ledger { return newLedger(false, false, "") },
			[]string{"order.placed.v1", "order.confirmed.v1", "order.dispatched.v1", "order.shipped.v1"},
			[]string{"held", "authorized", "captured", "sold", "shipped"}, "",
		},
		"declined": {
			func() *ledger { return newLedger(false, true, "") }, []string{"order.placed.v1", "order.cancelled.v1"},
			[]string{"held", "declined", "released"}, orders.ReasonPaymentDeclined,
		},
		"cancelled while money is taken": {
			func() *ledger { return newLedger(false, false, "capture") },
			[]string{"order.placed.v1", "order.confirmed.v1", "order.cancelled.v1"},
			[]string{"held", "authorized", "captured", "sold", "refunded", "restocked"}, "changed my mind",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			crashes := 0
			for n := 1; ; n++ {
				crashed := false
				synctest.Test(t, func(t *testing.T) {
					l := c.ledger()
					l.place(t)
					crashed = goOnAfter(t, l, n)
					l.check(t, c.events, c.effects, c.reason)
				})
				if !crashed {
					break
				}
				crashes++
			}
			if crashes < 5 {
				t.Errorf("the code of version 1 crashed at %d appends only", crashes)
			}
		})
	}
}

// goOnAfter runs a checkout with the code of version 1 until its process dies after the
// n-th append, and then with today's; it reports whether there was an n-th append.
func goOnAfter(t *testing.T, l *ledger, n int) (crashed bool) {
	t.Helper()
	log := flowtest.NewLog()
	log.Fail(n, flowtest.CrashAfter)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c := l.checkout()
	old := flow.Rehearsal{Flow: flow.Define(orders.CheckoutFlow, 1, c.runV1), ID: "test", Input: ordinary, Log: mortal{log, cancel}, Alive: log.Alive}
	if _, _, err := old.Run(ctx); err != nil {
		t.Fatal(err)
	}
	crashed = !log.Alive()
	log.Revive()
	state, ended, err := flow.Rehearsal{Flow: c.definition(1), ID: "test", Input: ordinary, Log: log}.Run(t.Context())
	if err != nil || !ended || state.Status == flow.Stuck {
		t.Fatalf("after %d appends: %s, %s, %v", n, state.Status, state.Reason, err)
	}
	return crashed
}
