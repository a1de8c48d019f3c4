package view_test

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/ordermesh/ordermesh/bus/event"
	bus "github.com/ordermesh/ordermesh/bus/view"
	"github.com/ordermesh/ordermesh/contracts/money"
	"github.com/ordermesh/ordermesh/contracts/orders"
	"github.com/ordermesh/ordermesh/services/orders/view"
)

// TestMemoryOfAnOrder: an order of two lines that was carried through to its delivery
// takes a kilobyte of memory at most, with all the lists that it is in.
func TestMemoryOfAnOrder(t *testing.T) { //nolint:paralleltest // it measures the memory of the process
	n := 10_000
	if os.Getenv("MESH_LONG") != "" {
		n = 100_000
	}
	before := heap()
	m := view.NewMemory()
	fill(t, m, n)
	each := (heap() - before) / int64(n)
	runtime.KeepAlive(m)
	t.Logf("%d bytes of each of %d orders", each, n)
	if each > 1000 {
		t.Errorf("%d bytes an order", each)
	}
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

// fill carries orders of 1,000 customers through, five events each, with texts as they
// come off the wire: each a copy of its own.
func fill(t *testing.T, m *view.Memory, n int) {
	t.Helper()
	fold := view.Fold()
	const batch = 100
	rows := make([]bus.Entry[view.Row], batch)
	sequence := uint64(0)
	for first := 0; first < n; first += batch {
		for version, e := range []orders.Event{
			orders.OrderPlaced{}, orders.OrderConfirmed{PaymentID: "p"}, orders.OrderDispatched{}, orders.OrderShipped{ShipmentID: "s"}, orders.OrderDelivered{},
		} {
			changes := make([]bus.Change[view.Row], batch)
			for i := range rows {
				id := fmt.Sprintf("o6vzvvb2rjzlif2bt3%08d", first+i)
				if version == 0 {
					e = fromWire(t, first+i)
					rows[i] = bus.Entry[view.Row]{}
				}
				rows[i].Key, rows[i].Version = id, rows[i].Version+1
				rows[i].Row = fold.Apply(rows[i].Row, event.Event[orders.Event]{ID: id, Version: rows[i].Version, Data: e})
				changes[i] = bus.Change[view.Row]{Entry: rows[i], Places: fold.Lists(rows[i].Row)}
			}
			from := bus.Checkpoint{Sequence: sequence}
			sequence++
			if err := m.Apply(t.Context(), from, bus.Checkpoint{Sequence: sequence}, changes); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func fromWire(t *testing.T, i int) orders.Event {
	t.Helper()
	eur := func(minor int64) money.Amount { return money.New(minor, "EUR") }
	data, err := json.Marshal(orders.OrderPlaced{
		CustomerID: fmt.Sprintf("customer-%04d", i%1000), Total: eur(3897), PlacedAt: time.Date(2026, 1, 1, 0, 0, i, 0, time.UTC),
		Lines: []orders.Line{
			{SKU: fmt.Sprintf("SKU-%04d", i%300), Name: "Assam, 100 g", Quantity: 2, UnitPrice: eur(1299)},
			{SKU: fmt.Sprintf("SKU-%04d", i%301), Name: "Darjeeling, 100 g", Quantity: 1, UnitPrice: eur(1299)},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	var e orders.OrderPlaced
	if err := json.Unmarshal(data, &e); err != nil {
		t.Fatal(err)
	}
	return e
}
