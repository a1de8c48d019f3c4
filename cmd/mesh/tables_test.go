package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/ordermesh/ordermesh/bus/event"
	"github.com/ordermesh/ordermesh/bus/view"
	"github.com/ordermesh/ordermesh/bus/view/postgres"
	"github.com/ordermesh/ordermesh/bus/view/viewtest"
	"github.com/ordermesh/ordermesh/contracts/catalog"
	"github.com/ordermesh/ordermesh/contracts/inventory"
	"github.com/ordermesh/ordermesh/contracts/money"
	"github.com/ordermesh/ordermesh/contracts/payments"
	"github.com/ordermesh/ordermesh/contracts/shipping"
	"github.com/ordermesh/ordermesh/embedded/postgres/postgrestest"
	catalogtable "github.com/ordermesh/ordermesh/services/catalog/postgres"
	catalogview "github.com/ordermesh/ordermesh/services/catalog/view"
	stocktable "github.com/ordermesh/ordermesh/services/inventory/postgres"
	stockview "github.com/ordermesh/ordermesh/services/inventory/view"
	paymenttable "github.com/ordermesh/ordermesh/services/payments/postgres"
	paymentview "github.com/ordermesh/ordermesh/services/payments/view"
	shipmenttable "github.com/ordermesh/ordermesh/services/shipping/postgres"
	shipmentview "github.com/ordermesh/ordermesh/services/shipping/view"
)

// TestTablesAgreeWithMemory: for the same random histories each service's view answers
// the same from PostgreSQL and from memory. That of orders has a suite of its own.
func TestTablesAgreeWithMemory(t *testing.T) {
	t.Parallel()
	url := postgrestest.Database(t)
	t.Run("catalog", func(t *testing.T) {
		t.Parallel()
		lists := []string{catalogview.All, catalogview.Active, catalogview.Inactive, "no such list"}
		agree(t, url, catalogtable.Table(), lists, histories(catalogview.Fold(), nextProduct))
	})
	t.Run("inventory", func(t *testing.T) {
		t.Parallel()
		agree(t, url, stocktable.Table(), []string{stockview.BySKU, stockview.ByAvailable, "no such list"}, histories(stockview.Fold(), nextStock))
	})
	t.Run("payments", func(t *testing.T) {
		t.Parallel()
		lists := []string{paymentview.List(""), paymentview.List("odd")}
		for _, status := range payments.Statuses() {
			lists = append(lists, paymentview.List(status))
		}
		agree(t, url, paymenttable.Table(), lists, histories(paymentview.Fold(), nextPayment))
	})
	t.Run("shipping", func(t *testing.T) {
		t.Parallel()
		lists := []string{shipmentview.List(""), shipmentview.List("odd")}
		for _, status := range shipping.Statuses() {
			lists = append(lists, shipmentview.List(status))
		}
		agree(t, url, shipmenttable.Table(), lists, histories(shipmentview.Fold(), nextShipment))
	})
}

func agree[R any](t *testing.T, url string, table postgres.Table[R], lists []string, batches [][]view.Change[R]) {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), url)
	check(t, err)
	t.Cleanup(pool.Close)
	store, err := postgres.Open(t.Context(), pool, table)
	check(t, err)
	viewtest.Agree(t, view.NewMemory[R](), store, lists, batches)
}

// histories are changes by random events, in small batches and in large ones.
func histories[E, R any](fold view.Fold[E, R], next func(*rand.Rand, R) E) [][]view.Change[R] {
	random := rand.New(rand.NewPCG(7, 7))
	rows := map[string]view.Entry[R]{}
	var batches [][]view.Change[R]
	for sequence := uint64(0); len(batches) < 24; {
		var batch []view.Change[R]
		for range 1 + random.IntN(map[bool]int{true: 90, false: 8}[len(batches)%6 == 5]) {
			sequence++
			id := fmt.Sprintf("%c-%d", "aAz0_"[random.IntN(5)], random.IntN(20))
			entry := rows[id]
			entry.Key, entry.Version = id, entry.Version+1
			entry.Row = fold.Apply(entry.Row, event.Event[E]{ID: id, Version: entry.Version, Sequence: sequence, Data: next(random, entry.Row)})
			rows[id] = entry
			change := view.Change[R]{Entry: entry, Places: fold.Lists(entry.Row)}
			if i := slices.IndexFunc(batch, func(c view.Change[R]) bool { return c.Key == id }); i >= 0 {
				batch[i] = change
			} else {
				batch = append(batch, change)
			}
		}
		batches = append(batches, batch)
	}
	return batches
}

func nextProduct(random *rand.Rand, _ catalogview.Row) catalog.Event {
	return catalog.ProductPut{
		Name: fmt.Sprintf("Tee № %d", random.IntN(9)), Price: money.New(random.Int64(), "EUR"), Active: random.IntN(2) == 0,
	}
}

func nextStock(random *rand.Rand, r stockview.Row) inventory.StockEvent {
	switch n := 1 + random.Int64N(9); {
	case random.IntN(2) == 0:
		return inventory.StockAdjusted{Delta: n}
	case n <= r.Available():
		return inventory.StockHeld{OrderID: "o", Quantity: n}
	case n <= r.Reserved && random.IntN(2) == 0:
		return inventory.StockHoldReleased{OrderID: "o", Quantity: n}
	case n <= r.Reserved:
		return inventory.StockSold{OrderID: "o", Quantity: n}
	default:
		return inventory.StockRestocked{OrderID: "o", Quantity: n}
	}
}

func nextPayment(random *rand.Rand, r paymentview.Row) payments.Event {
	p := r.Payment
	all := money.New(1+random.Int64N(1000), "EUR")
	switch {
	case p.Status == "" && random.IntN(4) == 0:
		return payments.PaymentDeclined{PaymentID: "ch", Reason: fmt.Sprint("„no“ money ", random.IntN(9))}
	case p.Status == "":
		return payments.PaymentAuthorized{PaymentID: fmt.Sprint("ch_", random.IntN(9)), Amount: all}
	case p.Status == payments.Authorized && random.IntN(3) == 0:
		return payments.PaymentVoided{}
	case p.Status == payments.Captured:
		return payments.PaymentRefunded{RefundID: "r", Amount: money.New(min(1+random.Int64N(1000), max(1, p.Left())), "EUR")}
	default:
		return payments.PaymentCaptured{Amount: p.Amount}
	}
}

func nextShipment(random *rand.Rand, r shipmentview.Row) shipping.Event {
	switch {
	case r.Shipment.Status == "" && random.IntN(4) > 0:
		return shipping.ShipmentCreated{ShipmentID: "tr", Due: time.Unix(random.Int64N(1<<31), random.Int64N(1e9)).In(time.FixedZone("", 7200))}
	case random.IntN(2) == 0:
		return shipping.ShipmentCancelled{}
	default:
		return shipping.ShipmentDelivered{ShipmentID: "tr"}
	}
}
