package domain_test

import (
	"fmt"
	"testing"

	"github.com/ordermesh/ordermesh/contracts/inventory"
	"github.com/ordermesh/ordermesh/services/inventory/domain"
)

// A hold and its sale on a stock that many orders hold.
func BenchmarkHotStock(b *testing.B) {
	for _, open := range []int{10, 1000, 4000} {
		b.Run(fmt.Sprintf("holds-%d", open), func(b *testing.B) {
			s := domain.EvolveStock(domain.Stock{}, inventory.StockAdjusted{Delta: domain.MaxOnHand})
			for i := range open {
				s = domain.EvolveStock(s, inventory.StockHeld{OrderID: fmt.Sprintf("order-%024d", i*7919%open), Quantity: 1})
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				id := fmt.Sprintf("fresh-%024d", i)
				next := domain.EvolveStock(s, inventory.StockHeld{OrderID: id, Quantity: 1})
				s = domain.EvolveStock(next, inventory.StockSold{OrderID: id, Quantity: 1})
			}
		})
	}
}
