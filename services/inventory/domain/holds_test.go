package domain_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/ordermesh/ordermesh/contracts/inventory"
	"github.com/ordermesh/ordermesh/services/inventory/domain"
)

// Thousands of orders hold a SKU, buy it and give it back, in any order: no state that
// was there before changes, and none loses a hold.
func TestHoldsOfManyOrders(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(3, 4))
	s := domain.EvolveStock(domain.Stock{}, inventory.StockAdjusted{Delta: domain.MaxOnHand})
	want := map[string]int64{}
	var earlier domain.Stock
	var then map[string]int64
	for step := range 20_000 {
		id, quantity := fmt.Sprintf("o%d", random.IntN(3_000)), 1+random.Int64N(5)
		command := []domain.StockCommand{
			domain.Take{OrderID: id, Quantity: quantity}, domain.Take{OrderID: id, Quantity: quantity}, domain.Sell{OrderID: id}, domain.Release{OrderID: id},
		}[random.IntN(4)]
		events, _ := domain.DecideStock(s, command) // a refusal changes nothing
		for _, e := range events {
			s = domain.EvolveStock(s, e)
			if held, ok := e.(inventory.StockHeld); ok {
				want[id] = held.Quantity
			} else {
				delete(want, id)
			}
		}
		if step == 10_000 {
			earlier, then = s, maps.Clone(want)
		}
	}
	same(t, s, want)
	same(t, earlier, then)
}

func same(t *testing.T, s domain.Stock, want map[string]int64) {
	t.Helper()
	got := map[string]int64{}
	var ids []string
	for h := range s.Holds.All() {
		got[h.OrderID] = h.Quantity
		ids = append(ids, h.OrderID)
	}
	if !maps.Equal(got, want) || !slices.IsSorted(ids) || s.Holds.Len() != len(want) {
		t.Errorf("%d holds, %d are expected, sorted: %v", s.Holds.Len(), len(want), slices.IsSorted(ids))
	}
	for _, run := range s.Holds {
		if len(run) == 0 || len(run) > 64 {
			t.Errorf("a run of %d holds", len(run))
		}
	}
}
