package main

import (
	"fmt"
	"testing"

	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/contracts/flows"
	"github.com/ordermesh/ordermesh/contracts/orders"
)

// testSpine is what an order's way must show wherever the parts of the mesh run: every
// payment token, an order that cannot be filled, one that is cancelled, and one key for
// many callers.
func testSpine(t *testing.T, s shop) {
	t.Helper()
	for _, c := range []struct {
		token  string
		status orders.Status
		reason string
	}{
		{"tok_ok", orders.Delivered, ""},
		{"tok_declined", orders.Cancelled, "payment_declined"},
		{"tok_flaky", orders.Delivered, ""},
		{"tok_timeout", orders.Delivered, ""},
	} {
		t.Run(c.token, func(t *testing.T) {
			t.Parallel()
			s := shop{t, s.nc}
			sku := "SKU-" + c.token
			s.stock(sku, 500, 10)
			order := s.ended(s.place(orderJSON(sku, 3, c.token)).OrderID)
			if order.Status != c.status || order.Reason != c.reason {
				t.Errorf("%s %q, want %s %q", order.Status, order.Reason, c.status, c.reason)
			}
			s.settled(order.OrderID)
			left := 10
			if c.status == orders.Delivered {
				left = 7
			}
			s.left(sku, left)
			if n := len(s.charges(order.OrderID)); n != 1 {
				t.Errorf("%d charges in the provider's book, want 1", n)
			}
		})
	}
	t.Run("out of stock", func(t *testing.T) {
		t.Parallel()
		s := shop{t, s.nc}
		s.stock("SKU-short", 500, 2)
		order := s.ended(s.place(orderJSON("SKU-short", 3, "tok_ok")).OrderID)
		if order.Status != orders.Cancelled || order.Reason != "out_of_stock" {
			t.Errorf("%s %q", order.Status, order.Reason)
		}
		s.settled(order.OrderID)
		s.left("SKU-short", 2)
		if n := len(s.charges(order.OrderID)); n != 0 {
			t.Errorf("%d charges, want none", n)
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		t.Parallel()
		testCancel(t, shop{t, s.nc})
	})
	t.Run("one key, one order", func(t *testing.T) {
		t.Parallel()
		testIdempotency(t, shop{t, s.nc})
	})
}

// testCancel: a cancel that is granted gives everything back, one that comes too late
// changes nothing.
func testCancel(t *testing.T, s shop) {
	t.Helper()
	s.stock("SKU-cancel", 500, 10)
	id := s.place(orderJSON("SKU-cancel", 3, "tok_ok")).OrderID
	_, refusal := s.ask("orders.cancel", fmt.Sprintf(`{"order_id":%q,"reason":"changed my mind"}`, id))
	status, left := orders.Cancelled, 10
	if refusal != nil {
		status, left = orders.Delivered, 7
		if refusal.Code != contract.FailedPrecondition {
			t.Errorf("cancel: %v", refusal)
		}
	}
	order := s.ended(id)
	if order.Status != status {
		t.Errorf("%s %q, want %s", order.Status, order.Reason, status)
	}
	s.settled(id)
	s.left("SKU-cancel", left)
}

// left demands so much on the shelf and nothing reserved.
func (s shop) left(sku string, onHand int) {
	s.t.Helper()
	if stock := s.stockOf(sku); stock.OnHand != int64(onHand) || stock.Reserved != 0 {
		s.t.Errorf("stock of %s afterwards: %+v, want %d on hand and nothing reserved", sku, stock, onHand)
	}
}

// settled waits until an order's checkout has given back what it had taken: a
// cancelled order is cancelled before that.
func (s shop) settled(id string) {
	s.t.Helper()
	query := fmt.Sprintf(`{"service":"orders","flow":"checkout","id":%q}`, id)
	bustest.Eventually(s.t, patience, func() bool {
		data, refusal := s.ask("flows.get", query)
		return refusal == nil && decode[flows.Instance](s.t, data).Status.Ended()
	}, "the checkout of order ", id)
}
