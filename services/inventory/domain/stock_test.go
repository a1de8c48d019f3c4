package domain_test

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"

	"github.com/ordermesh/ordermesh/contracts/inventory"
	"github.com/ordermesh/ordermesh/contracts/line"
	"github.com/ordermesh/ordermesh/contracts/spec"
	"github.com/ordermesh/ordermesh/services/inventory/domain"
)

func TestStock(t *testing.T) {
	t.Parallel()
	type given = []inventory.StockEvent
	ten := inventory.StockAdjusted{Delta: 10, Reason: "delivery"}
	held := inventory.StockHeld{OrderID: "o1", Quantity: 4}
	sold := inventory.StockSold{OrderID: "o1", Quantity: 4}
	freed := inventory.StockHoldReleased{OrderID: "o1", Quantity: 4}
	marked := inventory.StockHoldReleased{OrderID: "o1"}
	back := inventory.StockRestocked{OrderID: "o1", Quantity: 4}
	spec.Run(t, domain.DecideStock, domain.EvolveStock, []spec.Case[domain.StockCommand, inventory.StockEvent]{
		{Name: "stock arrives", When: domain.Adjust(ten), Then: given{ten}},
		{Name: "stock is written off down to nothing", Given: given{ten}, When: domain.Adjust{Delta: -10}, Then: given{inventory.StockAdjusted{Delta: -10}}},
		{Name: "no more is written off than there is", Given: given{ten}, When: domain.Adjust{Delta: -11}, Err: inventory.ErrBelow},
		{Name: "what is held is not written off", Given: given{ten, held}, When: domain.Adjust{Delta: -7}, Err: inventory.ErrBelow},
		{Name: "stock has an upper limit", Given: given{ten}, When: domain.Adjust{Delta: domain.MaxOnHand}, Err: inventory.ErrTooMuch},

		{Name: "an order holds what is there", Given: given{ten}, When: domain.Take(held), Then: given{held}},
		{Name: "an order holds the last piece", Given: given{ten, inventory.StockHeld{OrderID: "o2", Quantity: 6}}, When: domain.Take(held), Then: given{held}},
		{Name: "an order does not hold more than there is", Given: given{ten, inventory.StockHeld{OrderID: "o2", Quantity: 7}}, When: domain.Take(held), Err: inventory.ErrShort},
		{Name: "nothing is there before the first delivery", When: domain.Take(held), Err: inventory.ErrShort},
		{Name: "an order does not hold twice", Given: given{ten, held}, When: domain.Take(held)},
		{Name: "an order does not change what it holds", Given: given{ten, held}, When: domain.Take{OrderID: "o1", Quantity: 5}, Err: inventory.ErrDiffers},
		{Name: "nobody holds nothing", Given: given{ten}, When: domain.Take{OrderID: "o1"}, Err: line.ErrQuantity},
		{Name: "after it gave back an order holds nothing again", Given: given{ten, held, freed}, When: domain.Take(held), Err: inventory.ErrClosed},
		{Name: "after a mark a late hold is refused", Given: given{ten, marked}, When: domain.Take(held), Err: inventory.ErrClosed},
		{Name: "after the sale a late hold is refused", Given: given{ten, held, sold}, When: domain.Take(held), Err: inventory.ErrClosed},

		{Name: "an order gives back what it holds", Given: given{ten, held}, When: domain.Release{OrderID: "o1"}, Then: given{freed}},
		{Name: "an order that holds nothing leaves a mark", Given: given{ten}, When: domain.Release{OrderID: "o1", Mark: true}, Then: given{marked}},
		{Name: "one mark is enough", Given: given{ten, marked}, When: domain.Release{OrderID: "o1", Mark: true}},
		{Name: "without need no mark is left", Given: given{ten}, When: domain.Release{OrderID: "o1"}},
		{Name: "an order gives back once", Given: given{ten, held, freed}, When: domain.Release{OrderID: "o1", Mark: true}},

		{Name: "an order buys what it holds", Given: given{ten, held}, When: domain.Sell{OrderID: "o1"}, Then: given{sold}},
		{Name: "an order buys once", Given: given{ten, held, sold}, When: domain.Sell{OrderID: "o1"}},
		{Name: "an order buys nothing it gave back", Given: given{ten, held, freed}, When: domain.Sell{OrderID: "o1"}},

		{Name: "what was sold goes back on the shelf", Given: given{ten, held, sold}, When: domain.Restock{OrderID: "o1", Quantity: 4}, Then: given{back}},
		{Name: "it goes back once", Given: given{ten, held, sold, back}, When: domain.Restock{OrderID: "o1", Quantity: 4}},
		{Name: "what was not sold yet is given back instead", Given: given{ten, held}, When: domain.Restock{OrderID: "o1", Quantity: 4}, Then: given{freed}},
		{Name: "what was given back does not go back again", Given: given{ten, held, freed}, When: domain.Restock{OrderID: "o1", Quantity: 4}},
		{Name: "a sale long ago has to be looked up", Given: given{ten}, When: domain.Restock{OrderID: "o1", Quantity: 4}, Err: domain.ErrForgotten},
		{Name: "a sale that was looked up goes back", Given: given{ten}, When: domain.Restock{OrderID: "o1", Quantity: 4, Sold: true}, Then: given{back}},
	})
}

func TestStockStateIsBounded(t *testing.T) {
	t.Parallel()
	s := spec.Fold[domain.Stock, inventory.StockEvent](t, domain.EvolveStock, inventory.StockAdjusted{Delta: domain.MaxHolds + 1})
	for i := range domain.MaxHolds {
		s = domain.EvolveStock(s, inventory.StockHeld{OrderID: "o" + strconv.Itoa(i), Quantity: 1})
	}
	if _, err := domain.DecideStock(s, domain.Take{OrderID: "late", Quantity: 1}); err == nil {
		t.Errorf("%d orders hold, one more is taken", s.Holds.Len())
	}
	for i := range domain.MaxHolds {
		s = domain.EvolveStock(s, inventory.StockSold{OrderID: "o" + strconv.Itoa(i), Quantity: 1})
	}
	if s.Holds.Len() != 0 || len(s.Closed) != domain.MaxClosed || s.OnHand != 1 || s.Reserved != 0 {
		t.Errorf("after everything was sold: %d holds, %d marks, %d on hand, %d reserved", s.Holds.Len(), len(s.Closed), s.OnHand, s.Reserved)
	}
	if _, err := domain.DecideStock(s, domain.Take{OrderID: "o" + strconv.Itoa(domain.MaxHolds-1), Quantity: 1}); err == nil {
		t.Error("the order closed last may hold again")
	}
}

// FuzzStock reads a history out of bytes: three for each command.
func FuzzStock(f *testing.F) {
	f.Add([]byte{0, 0, 9, 1, 1, 4, 3, 1, 0, 4, 1, 4, 1, 1, 4})
	f.Add([]byte{0, 0, 200, 1, 1, 100, 1, 2, 100, 2, 1, 0, 1, 3, 100, 3, 2, 0, 4, 2, 100})
	f.Fuzz(stockHistory)
}

func TestRandomStockHistories(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		history := make([]byte, 300)
		for i := range history {
			history[i] = byte(random.Uint32())
		}
		stockHistory(t, history)
	}
}

func stockHistory(t *testing.T, history []byte) {
	t.Helper()
	var s domain.Stock
	var adjusted, sold, back int64
	for step := range slices.Chunk(history, 3) {
		if len(step) < 3 {
			return
		}
		order, n := "o"+strconv.Itoa(int(step[1]%5)), int64(int8(step[2]))
		command := []domain.StockCommand{
			domain.Adjust{Delta: n}, domain.Take{OrderID: order, Quantity: n}, domain.Release{OrderID: order, Mark: step[2]%2 == 0},
			domain.Sell{OrderID: order}, domain.Restock{OrderID: order, Quantity: 1},
		}[step[0]%5]
		events, err := domain.DecideStock(s, command)
		if err != nil && len(events) > 0 {
			t.Fatalf("%+v: refused and done", command)
		}
		for _, e := range events {
			s = domain.EvolveStock(s, e)
			switch e := e.(type) {
			case inventory.StockAdjusted:
				adjusted += e.Delta
			case inventory.StockSold:
				sold += e.Quantity
			case inventory.StockRestocked:
				back += e.Quantity
			case inventory.StockHeld, inventory.StockHoldReleased:
			}
		}
		check(t, s, adjusted-sold+back)
	}
}

func check(t *testing.T, s domain.Stock, onHand int64) {
	t.Helper()
	var held int64
	before := ""
	for h := range s.Holds.All() {
		held += h.Quantity
		if h.Quantity < 1 || before >= h.OrderID {
			t.Fatalf("bad holds %+v", s.Holds)
		}
		before = h.OrderID
	}
	if s.OnHand != onHand || s.Reserved != held || held < 0 || held > s.OnHand || len(s.Closed) > domain.MaxClosed {
		t.Fatalf("on hand %d (want %d), reserved %d, held %d, %d marks", s.OnHand, onHand, s.Reserved, held, len(s.Closed))
	}
	for h := range s.Holds.All() {
		for _, m := range s.Closed {
			if string(m[1:]) == h.OrderID {
				t.Fatalf("order %s is closed and holds", h.OrderID)
			}
		}
	}
}
