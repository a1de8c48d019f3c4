package inventory_test

import (
	"errors"
	"math"
	"testing"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/contracts/golden"
	"github.com/ordermesh/ordermesh/contracts/inventory"
	"github.com/ordermesh/ordermesh/contracts/line"
	"github.com/ordermesh/ordermesh/contracts/page"
)

const order = "k3v5w2q7a4m6x2c3z5y7b2d4f6"

func TestContract(t *testing.T) {
	t.Parallel()
	lines := []line.Line{{SKU: "TEA-001", Quantity: 2}, {SKU: "POT-001", Quantity: 1}}
	stock := inventory.Stock{SKU: "TEA-001", OnHand: 100, Reserved: 2, Available: 98, Version: 7}
	reservation := inventory.Reservation{OrderID: order, Status: inventory.Refused, Lines: lines, Short: "POT-001", Version: 2}
	ref := inventory.ReservationRef{OrderID: order}
	s := golden.New(t)
	golden.Method(s, inventory.Adjust, inventory.AdjustStock{SKU: "TEA-001", Delta: -3, Reason: "broken"}, stock)
	golden.Method(s, inventory.Get, inventory.GetStock{SKU: "TEA-001", MinVersion: 1}, stock)
	golden.Method(s, inventory.List, inventory.ListStock{
		SKUPrefix: "TEA", Reflects: &page.Reflects{ID: "TEA-001", Version: 1}, Limit: 20, Cursor: "VEVBLTAwMQ",
	}, inventory.StockPage{Stock: []inventory.Stock{stock}, NextCursor: "VEVBLTAwMQ", Behind: 2})
	few := int64(10)
	golden.Value(s, "inventory.list.short", inventory.ListStock{AvailableBelow: &few})
	golden.Method(s, inventory.Reserve, inventory.ReserveLines{OrderID: order, Lines: lines}, reservation)
	golden.Method(s, inventory.Release, ref, reservation)
	golden.Method(s, inventory.Commit, ref, reservation)
	for _, e := range []inventory.StockEvent{
		inventory.StockAdjusted{Delta: -3, Reason: "broken"},
		inventory.StockHeld{OrderID: order, Quantity: 2},
		inventory.StockHoldReleased{OrderID: order, Quantity: 2},
		inventory.StockSold{OrderID: order, Quantity: 2},
		inventory.StockRestocked{OrderID: order, Quantity: 2},
	} {
		golden.Event(s, inventory.StockEvents, e)
	}
	for _, e := range []inventory.ReservationEvent{
		inventory.ReservationOpened{Lines: lines},
		inventory.ReservationHeld{},
		inventory.ReservationRefused{Short: "POT-001"},
		inventory.ReservationReleased{},
		inventory.ReservationCommitted{},
		inventory.ReservationReturned{},
	} {
		golden.Event(s, inventory.ReservationEvents, e)
	}
	s.Complete(inventory.Descriptor)
}

func TestValidate(t *testing.T) {
	t.Parallel()
	none, one := int64(0), int64(1)
	for name, c := range map[string]struct {
		request contract.Validator
		code    contract.Code
		field   string
	}{
		"delta 0":          {inventory.AdjustStock{SKU: "A", Reason: "x"}, contract.Unprocessable, "/delta"},
		"delta smallest":   {inventory.AdjustStock{SKU: "A", Delta: math.MinInt64, Reason: "x"}, contract.Unprocessable, "/delta"},
		"delta too large":  {inventory.AdjustStock{SKU: "A", Delta: inventory.MaxDelta + 1, Reason: "x"}, contract.Unprocessable, "/delta"},
		"no reason":        {inventory.AdjustStock{SKU: "A", Delta: 1}, contract.Invalid, "/reason"},
		"SKU with a point": {inventory.AdjustStock{SKU: "a.b", Delta: 1, Reason: "x"}, contract.Invalid, "/sku"},
		"get version":      {inventory.GetStock{SKU: "A", MinVersion: 1 << 40}, contract.Invalid, "/min_version"},
		"list prefix":      {inventory.ListStock{SKUPrefix: "*"}, contract.Invalid, "/sku_prefix"},
		"list below 0":     {inventory.ListStock{AvailableBelow: &none}, contract.Invalid, "/available_below"},
		"list both":        {inventory.ListStock{AvailableBelow: &one, SKUPrefix: "A"}, contract.Invalid, "/available_below"},
		"list reflects":    {inventory.ListStock{Reflects: &page.Reflects{}}, contract.Invalid, "/reflects/id"},
		"list cursor":      {inventory.ListStock{Cursor: "a b"}, contract.Invalid, "/cursor"},
		"get nothing":      {inventory.GetStock{}, contract.Invalid, "/sku"},
		"reserve nothing":  {inventory.ReserveLines{OrderID: order}, contract.Unprocessable, "/lines"},
		"reserve nobody's": {inventory.ReserveLines{}, contract.Invalid, "/order_id"},
		"release *":        {inventory.ReservationRef{OrderID: "*"}, contract.Invalid, "/order_id"},
	} {
		var e *contract.Error
		if err := c.request.Validate(); !errors.As(err, &e) || e.Code != c.code || e.Field != c.field {
			t.Errorf("%s: %v, want %v at %s", name, err, c.code, c.field)
		}
	}
}
