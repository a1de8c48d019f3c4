package domain_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/ordermesh/ordermesh/contracts/money"
	"github.com/ordermesh/ordermesh/contracts/orders"
	"github.com/ordermesh/ordermesh/contracts/spec"
	"github.com/ordermesh/ordermesh/services/orders/domain"
)

var at = time.Date(2026, 11, 24, 9, 30, 0, 0, time.UTC)

func tea(quantity, price int64, currency string) orders.Line {
	return orders.Line{SKU: "TEA-001", Name: "Assam", Quantity: quantity, UnitPrice: money.New(price, currency)}
}

func place(lines ...orders.Line) domain.Place {
	return domain.Place{CustomerID: "c1", Lines: lines, Reference: "sr1", Hash: "h1", At: at}
}

func placed(total int64, lines ...orders.Line) orders.OrderPlaced {
	return orders.OrderPlaced{CustomerID: "c1", Lines: lines, Total: money.New(total, "EUR"), PaymentReference: "sr1", RequestHash: "h1", PlacedAt: at}
}

// ruledPlace is a command with a decision of the rules, and ruled the event of it.
func ruledPlace(o orders.Outcome) domain.Place {
	c := place(tea(2, 1299, "EUR"))
	c.Acceptance = &orders.Acceptance{Outcome: o, Reason: "no", Revision: 7}
	return c
}

func ruled(o orders.Outcome) orders.OrderPlaced {
	e := placed(2598, tea(2, 1299, "EUR"))
	e.Acceptance = &orders.Acceptance{Outcome: o, Reason: "no", Revision: 7}
	return e
}

func TestOrder(t *testing.T) {
	t.Parallel()
	type given = []orders.Event
	order := placed(2598, tea(2, 1299, "EUR"))
	confirmed := orders.OrderConfirmed{PaymentID: "ch_7"}
	dispatched := orders.OrderDispatched{}
	shipped := orders.OrderShipped{ShipmentID: "tr_7"}
	delivered := orders.OrderDelivered{}
	cancelled := orders.OrderCancelled{Reason: "changed my mind"}
	free, pot := tea(1, 0, "EUR"), tea(3, 500, "EUR")
	spec.Run(t, domain.Decide, domain.Evolve, []spec.Case[domain.Command, orders.Event]{
		{Name: "an order is placed with its total", When: place(tea(2, 1299, "EUR")), Then: given{order}},
		{Name: "the total adds up every line", When: place(tea(2, 1299, "EUR"), free, pot), Then: given{placed(4098, tea(2, 1299, "EUR"), free, pot)}},
		{Name: "an order may be free", When: place(free), Then: given{placed(0, free)}},
		{Name: "an order that the rules accept or hold is placed", When: ruledPlace(orders.OutcomeHold), Then: given{ruled(orders.OutcomeHold)}},
		{Name: "an order that the rules reject is placed and cancelled", When: ruledPlace(orders.OutcomeReject), Then: given{ruled(orders.OutcomeReject), orders.OrderCancelled{Reason: "no"}}},
		{Name: "it is not placed again", Given: given{ruled(orders.OutcomeReject), orders.OrderCancelled{Reason: "no"}}, When: ruledPlace(orders.OutcomeAccept), Err: orders.ErrPlaced},
		{Name: "a placed order is not placed twice", Given: given{order}, When: place(tea(2, 1299, "EUR")), Err: orders.ErrPlaced},
		{Name: "a cancelled order is not placed again", Given: given{order, cancelled}, When: place(tea(2, 1299, "EUR")), Err: orders.ErrPlaced},
		{Name: "an order has one currency", When: place(tea(1, 1, "EUR"), tea(1, 1, "USD")), Err: money.ErrMixed},
		{Name: "an order has one currency, also where a line is free", When: place(tea(1, 0, "EUR"), tea(1, 1, "USD")), Err: money.ErrMixed},
		{Name: "a line that is too dear is refused", When: place(tea(2, math.MaxInt64, "EUR")), Err: money.ErrOverflow},
		{Name: "a total that is too high is refused", When: place(tea(1, math.MaxInt64, "EUR"), tea(1, 1, "EUR")), Err: money.ErrOverflow},

		{Name: "a placed order is confirmed", Given: given{order}, When: domain.Confirm(confirmed), Then: given{confirmed}},
		{Name: "it is confirmed once", Given: given{order, confirmed}, When: domain.Confirm(confirmed)},
		{Name: "an order that does not exist is not confirmed", When: domain.Confirm(confirmed), Err: orders.ErrUnknown},
		{Name: "a cancelled order is not confirmed", Given: given{order, cancelled}, When: domain.Confirm(confirmed), Err: orders.ErrCancelled},

		{Name: "a confirmed order is dispatched", Given: given{order, confirmed}, When: domain.Dispatch{}, Then: given{dispatched}},
		{Name: "it is dispatched once", Given: given{order, confirmed, dispatched}, When: domain.Dispatch{}},
		{Name: "an order is not dispatched unconfirmed", Given: given{order}, When: domain.Dispatch{}, Err: orders.ErrOutOfTurn},
		{Name: "a cancelled order is not dispatched", Given: given{order, confirmed, cancelled}, When: domain.Dispatch{}, Err: orders.ErrCancelled},

		{Name: "a dispatched order is shipped", Given: given{order, confirmed, dispatched}, When: domain.Ship(shipped), Then: given{shipped}},
		{Name: "it is shipped once", Given: given{order, confirmed, dispatched, shipped}, When: domain.Ship(shipped)},
		{Name: "an order is not shipped before it is dispatched", Given: given{order, confirmed}, When: domain.Ship(shipped), Err: orders.ErrOutOfTurn},

		{Name: "a shipped order is delivered", Given: given{order, confirmed, dispatched, shipped}, When: domain.Deliver{ShipmentID: "tr_7"}, Then: given{delivered}},
		{Name: "it is delivered once", Given: given{order, confirmed, dispatched, shipped, delivered}, When: domain.Deliver{ShipmentID: "tr_7"}},
		{Name: "a fast carrier delivers before the order knows that it shipped", Given: given{order, confirmed, dispatched}, When: domain.Deliver{ShipmentID: "tr_7"}, Then: given{shipped, delivered}},
		{Name: "and then shipping is no news", Given: given{order, confirmed, dispatched, shipped, delivered}, When: domain.Ship(shipped)},
		{Name: "nothing is delivered that was never dispatched", Given: given{order, confirmed}, When: domain.Deliver{}, Err: orders.ErrOutOfTurn},
		{Name: "nothing is delivered that was cancelled", Given: given{order, cancelled}, When: domain.Deliver{}, Err: orders.ErrCancelled},

		{Name: "a placed order is cancelled", Given: given{order}, When: domain.Cancel{Reason: cancelled.Reason}, Then: given{cancelled}},
		{Name: "a confirmed order is cancelled", Given: given{order, confirmed}, When: domain.Cancel{Reason: cancelled.Reason}, Then: given{cancelled}},
		{Name: "it is cancelled once, for the first reason", Given: given{order, cancelled}, When: domain.Cancel{Reason: "other"}},
		{Name: "a dispatched order is not cancelled", Given: given{order, confirmed, dispatched}, When: domain.Cancel{Reason: cancelled.Reason}, Err: orders.ErrDispatched},
		{Name: "a delivered order is not cancelled", Given: given{order, confirmed, dispatched, shipped, delivered}, When: domain.Cancel{Reason: cancelled.Reason}, Err: orders.ErrDispatched},
		{Name: "an order that is as it was seen is cancelled", Given: given{order}, When: domain.Cancel{Reason: cancelled.Reason, Only: &domain.Seen{Status: orders.Placed}}, Then: given{cancelled}},
		{Name: "one that went on is not cancelled by who has not seen that", Given: given{order, confirmed}, When: domain.Cancel{Only: &domain.Seen{Status: orders.Placed}}, Err: orders.ErrChanged},
		{Name: "nor is one of which nothing was seen", Given: given{order}, When: domain.Cancel{Only: &domain.Seen{}}, Err: orders.ErrChanged},
		{Name: "an order that does not exist is not cancelled", When: domain.Cancel{Reason: cancelled.Reason}, Err: orders.ErrUnknown},
	})
}

func TestHold(t *testing.T) {
	t.Parallel()
	type given = []orders.Event
	order := placed(2598, tea(2, 1299, "EUR"))
	held := orders.OrderHeld{Reason: orders.HoldOverLimit, Until: at.Add(time.Hour)}
	approved := orders.OrderApproved{Reason: "a good customer"}
	rejected := given{orders.OrderRejected{Reason: "a bad address"}, orders.OrderCancelled{Reason: orders.ReasonRejected}}
	cancelled := orders.OrderCancelled{Reason: "changed my mind"}
	expired := orders.OrderCancelled{Reason: orders.ReasonHoldExpired}
	confirmed := orders.OrderConfirmed{PaymentID: "ch_7"}
	spec.Run(t, domain.Decide, domain.Evolve, []spec.Case[domain.Command, orders.Event]{
		{Name: "a placed order is held", Given: given{order}, When: domain.Hold(held), Then: given{held}},
		{Name: "it is held once", Given: given{order, held}, When: domain.Hold(held)},
		{Name: "an approved order is not held again", Given: given{order, held, approved}, When: domain.Hold(held)},
		{Name: "a confirmed order is not held", Given: given{order, confirmed}, When: domain.Hold(held)},
		{Name: "a cancelled order is not held", Given: given{order, cancelled}, When: domain.Hold(held), Err: orders.ErrCancelled},
		{Name: "an order that does not exist is not held", When: domain.Hold(held), Err: orders.ErrUnknown},

		{Name: "a held order is approved", Given: given{order, held}, When: domain.Approve(approved), Then: given{approved}},
		{Name: "it is approved once", Given: given{order, held, approved}, When: domain.Approve{}},
		{Name: "it goes on where it was", Given: given{order, held, approved}, When: domain.Confirm(confirmed), Then: given{confirmed}},
		{Name: "approving it late is no news", Given: given{order, held, approved, confirmed}, When: domain.Approve{}},
		{Name: "an order that was never held is not approved", Given: given{order}, When: domain.Approve{}, Err: orders.ErrNotOnHold},
		{Name: "a rejected order is not approved", Given: append(given{order, held}, rejected...), When: domain.Approve{}, Err: orders.ErrNotOnHold},
		{Name: "an order that does not exist is not approved", When: domain.Approve{}, Err: orders.ErrUnknown},
		{Name: "a held order goes nowhere", Given: given{order, held}, When: domain.Confirm(confirmed), Err: orders.ErrOutOfTurn},

		{Name: "a held order is rejected, and so cancelled", Given: given{order, held}, When: domain.Reject{Reason: "a bad address"}, Then: rejected},
		{Name: "it is rejected once", Given: append(given{order, held}, rejected...), When: domain.Reject{}},
		{Name: "an approved order is not rejected", Given: given{order, held, approved}, When: domain.Reject{}, Err: orders.ErrNotOnHold},
		{Name: "an order that the customer cancelled is not rejected", Given: given{order, held, cancelled}, When: domain.Reject{}, Err: orders.ErrNotOnHold},

		{Name: "an order that was held and approved since it was seen is not cancelled", Given: given{order, held, approved}, When: domain.Cancel{Only: &domain.Seen{Status: orders.Placed}}, Err: orders.ErrChanged},
		{Name: "a held order is cancelled", Given: given{order, held}, When: domain.Cancel{Reason: cancelled.Reason}, Then: given{cancelled}},
		{Name: "a held order is cancelled when nobody decides", Given: given{order, held}, When: domain.Expire{}, Then: given{expired}},
		{Name: "an approved order does not expire", Given: given{order, held, approved}, When: domain.Expire{}},
		{Name: "a cancelled order does not expire", Given: given{order, held, cancelled}, When: domain.Expire{}},
		{Name: "an order that was never held does not expire", Given: given{order}, When: domain.Expire{}},
	})
}

func TestRefund(t *testing.T) {
	t.Parallel()
	type given = []orders.Event
	euros := func(minor int64) money.Amount { return money.New(minor, "EUR") }
	shipped := given{placed(2598, tea(2, 1299, "EUR")), orders.OrderConfirmed{PaymentID: "ch_7"}, orders.OrderDispatched{}, orders.OrderShipped{ShipmentID: "tr_7"}}
	after := func(events ...orders.Event) given {
		return append(append(slices.Clone(shipped), orders.OrderDelivered{}), events...)
	}
	asked := func(id string, minor int64) orders.OrderRefundRequested {
		return orders.OrderRefundRequested{RefundID: id, Amount: euros(minor), Reason: "late"}
	}
	ask := func(id string, amount money.Amount) domain.Refund {
		return domain.Refund{ID: id, Amount: amount, Reason: "late"}
	}
	refunded := orders.OrderRefunded{RefundID: "r1", Amount: euros(1000), Refunded: euros(1000)}
	failed := orders.OrderRefundFailed{RefundID: "r1", Reason: "not captured"}
	free := given{placed(0, tea(1, 0, "EUR")), orders.OrderConfirmed{PaymentID: "ch_8"}, orders.OrderDispatched{}, orders.OrderShipped{}, orders.OrderDelivered{}}
	var many given
	for i := range orders.MaxRefunds {
		many = append(many, asked(fmt.Sprint("m", i), 1))
	}
	spec.Run(t, domain.Decide, domain.Evolve, []spec.Case[domain.Command, orders.Event]{
		{Name: "a part of a delivered order is refunded", Given: after(), When: ask("r1", euros(1000)), Then: given{asked("r1", 1000)}},
		{Name: "without an amount it is all", Given: after(), When: ask("r1", money.Amount{}), Then: given{asked("r1", 2598)}},
		{Name: "and later the rest", Given: after(asked("r1", 1000), refunded), When: ask("r2", money.Amount{}), Then: given{asked("r2", 1598)}},
		{Name: "what is promised is not promised again", Given: after(asked("r1", 1000)), When: ask("r2", euros(1599)), Err: orders.ErrTooMuch},
		{Name: "nor is what was given back", Given: after(asked("r1", 1000), refunded), When: ask("r2", euros(1599)), Err: orders.ErrTooMuch},
		{Name: "a refund that failed frees its amount", Given: after(asked("r1", 1000), failed), When: ask("r2", euros(2598)), Then: given{asked("r2", 2598)}},
		{Name: "one refund is asked for once", Given: after(asked("r1", 1000)), When: ask("r1", euros(1000))},
		{Name: "no more than the total", Given: after(), When: ask("r1", euros(math.MaxInt64)), Err: orders.ErrTooMuch},
		{Name: "not in another currency", Given: after(), When: ask("r1", money.New(1, "USD")), Err: orders.ErrOtherCurrency},
		{Name: "not nothing", Given: after(), When: ask("r1", euros(0)), Err: orders.ErrNoAmount},
		{Name: "not less than nothing", Given: after(), When: ask("r1", euros(-1)), Err: orders.ErrNoAmount},
		{Name: "nothing is left", Given: after(asked("r1", 2598)), When: ask("r2", money.Amount{}), Err: orders.ErrRefunded},
		{Name: "nothing was paid", Given: free, When: ask("r1", money.Amount{}), Err: orders.ErrRefunded},
		{Name: "there is an end to refunds", Given: after(many...), When: ask("r1", euros(1)), Err: orders.ErrTooManyRefunds},
		{Name: "what is on its way is not refunded", Given: shipped, When: ask("r1", money.Amount{}), Err: orders.ErrUndelivered},
		{Name: "a cancelled order gets its money by itself", Given: given{shipped[0], orders.OrderCancelled{}}, When: ask("r1", money.Amount{}), Err: orders.ErrUndelivered},
		{Name: "no order is not refunded", When: ask("r1", money.Amount{}), Err: orders.ErrUnknown},

		{Name: "the money is given back", Given: after(asked("r1", 1000)), When: domain.NoteRefund{ID: "r1"}, Then: given{refunded}},
		{Name: "it is given back once", Given: after(asked("r1", 1000), refunded), When: domain.NoteRefund{ID: "r1"}},
		{
			Name: "the total of all refunds is kept", Given: after(asked("r1", 1000), asked("r2", 98), refunded), When: domain.NoteRefund{ID: "r2"},
			Then: given{orders.OrderRefunded{RefundID: "r2", Amount: euros(98), Refunded: euros(1098)}},
		},
		{Name: "money for which nobody asked is not given back", Given: after(), When: domain.NoteRefund{ID: "r1"}},
		{Name: "a refund is refused", Given: after(asked("r1", 1000)), When: domain.FailRefund{ID: "r1", Reason: "not captured"}, Then: given{failed}},
		{Name: "it is refused once", Given: after(asked("r1", 1000), failed), When: domain.FailRefund{ID: "r1"}},
		{Name: "what was given back is not refused", Given: after(asked("r1", 1000), refunded), When: domain.FailRefund{ID: "r1"}},
	})
}

func FuzzOrder(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4})
	f.Add([]byte{0, 1, 2, 4, 3})
	f.Add([]byte{0, 5, 1, 2, 3, 4})
	f.Add([]byte{0, 6, 7, 1, 2, 3, 4, 10, 23, 11, 36, 10})
	f.Add([]byte{0, 6, 8, 1})
	f.Add([]byte{0, 6, 9, 7})
	f.Fuzz(orderHistory)
}

func TestRandomOrderHistories(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		history := make([]byte, 40)
		for i := range history {
			history[i] = byte(random.Uint32())
		}
		orderHistory(t, history)
	}
}

// commandOf makes a command of a byte. Its high bits choose which refund, and how much.
func commandOf(step byte) domain.Command {
	n := step / 13
	refund := fmt.Sprint("r", n%4)
	return []domain.Command{
		place(tea(1, 20, "EUR")), domain.Confirm{}, domain.Dispatch{}, domain.Ship{}, domain.Deliver{}, domain.Cancel{},
		domain.Hold{}, domain.Approve{}, domain.Reject{}, domain.Expire{},
		domain.Refund{ID: refund, Amount: money.New(int64(n), "EUR")}, domain.NoteRefund{ID: refund}, domain.FailRefund{ID: refund},
	}[step%13]
}

// orderHistory checks that an order never goes back, but from a hold, never skips a
// state, that its end is its end, and that no more is refunded than was paid.
func orderHistory(t *testing.T, history []byte) {
	t.Helper()
	order := map[orders.Status]int{"": 0, orders.Placed: 1, orders.OnHold: 1, orders.Confirmed: 2, orders.Dispatched: 3, orders.Shipped: 4, orders.Delivered: 5}
	var o domain.Order
	var promised, refunded int64
	for _, step := range history {
		command := commandOf(step)
		events, err := domain.Decide(o, command)
		if err != nil && len(events) > 0 {
			t.Fatalf("%+v: refused and done", command)
		}
		for _, e := range events {
			before := o
			o = domain.Evolve(o, e)
			switch e := e.(type) {
			case orders.OrderRefundRequested:
				promised += e.Amount.Minor
			case orders.OrderRefunded:
				if refunded += e.Amount.Minor; e.Refunded.Minor != refunded {
					t.Fatalf("%d refunded in all, the event says %s", refunded, e.Refunded)
				}
			case orders.OrderRefundFailed:
				promised -= o.Left() - before.Left()
			case orders.OrderRejected:
			case orders.OrderPlaced, orders.OrderHeld, orders.OrderApproved, orders.OrderConfirmed, orders.OrderDispatched,
				orders.OrderShipped, orders.OrderDelivered, orders.OrderCancelled:
				wayCheck(t, order, command, before.Status, o.Status)
			}
		}
		if refunded > promised || promised > o.Total.Minor || o.Left() != o.Total.Minor-promised || o.Refunded != refunded {
			t.Fatalf("after %+v: %+v, %d promised and %d refunded", command, o, promised, refunded)
		}
	}
}

// wayCheck checks one change of the status.
func wayCheck(t *testing.T, order map[orders.Status]int, command domain.Command, before, now orders.Status) {
	t.Helper()
	aside := before == orders.Placed && now == orders.OnHold || before == orders.OnHold && now == orders.Placed
	switch {
	case before == orders.Cancelled || before == orders.Delivered:
		t.Fatalf("%+v made %s of a %s order", command, now, before)
	case now == orders.Cancelled && order[before] >= order[orders.Dispatched]:
		t.Fatalf("a %s order was cancelled", before)
	case before == orders.OnHold && !aside && now != orders.Cancelled:
		t.Fatalf("%+v took a held order to %s", command, now)
	case now != orders.Cancelled && !aside && order[now] != order[before]+1:
		t.Fatalf("%+v took the order from %s to %s", command, before, now)
	}
}
