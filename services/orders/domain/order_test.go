package domain_test

import (
	"math"
	"math/rand/v2"
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

		{Name: "a placed order is cancelled", Given: given{order}, When: domain.Cancel(cancelled), Then: given{cancelled}},
		{Name: "a confirmed order is cancelled", Given: given{order, confirmed}, When: domain.Cancel(cancelled), Then: given{cancelled}},
		{Name: "it is cancelled once, for the first reason", Given: given{order, cancelled}, When: domain.Cancel{Reason: "other"}},
		{Name: "a dispatched order is not cancelled", Given: given{order, confirmed, dispatched}, When: domain.Cancel(cancelled), Err: orders.ErrDispatched},
		{Name: "a delivered order is not cancelled", Given: given{order, confirmed, dispatched, shipped, delivered}, When: domain.Cancel(cancelled), Err: orders.ErrDispatched},
		{Name: "an order that does not exist is not cancelled", When: domain.Cancel(cancelled), Err: orders.ErrUnknown},
	})
}

func FuzzOrder(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4})
	f.Add([]byte{0, 1, 2, 4, 3})
	f.Add([]byte{0, 5, 1, 2, 3, 4})
	f.Fuzz(orderHistory)
}

func TestRandomOrderHistories(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for range 1000 {
		history := make([]byte, 20)
		for i := range history {
			history[i] = byte(random.Uint32())
		}
		orderHistory(t, history)
	}
}

// orderHistory checks that an order never goes back, never skips a state, and that
// its end is its end.
func orderHistory(t *testing.T, history []byte) {
	t.Helper()
	order := map[orders.Status]int{"": 0, orders.Placed: 1, orders.Confirmed: 2, orders.Dispatched: 3, orders.Shipped: 4, orders.Delivered: 5}
	var o domain.Order
	for _, step := range history {
		command := []domain.Command{
			place(tea(1, int64(step), "EUR")), domain.Confirm{}, domain.Dispatch{}, domain.Ship{}, domain.Deliver{}, domain.Cancel{},
		}[step%6]
		events, err := domain.Decide(o, command)
		if err != nil && len(events) > 0 {
			t.Fatalf("%+v: refused and done", command)
		}
		for _, e := range events {
			before := o.Status
			o = domain.Evolve(o, e)
			switch {
			case before == orders.Cancelled || before == orders.Delivered:
				t.Fatalf("%+v made %s of a %s order", command, o.Status, before)
			case o.Status == orders.Cancelled && order[before] >= order[orders.Dispatched]:
				t.Fatalf("a %s order was cancelled", before)
			case o.Status != orders.Cancelled && order[o.Status] != order[before]+1:
				t.Fatalf("%+v took the order from %s to %s", command, before, o.Status)
			}
		}
	}
}
