// Package domain decides what may happen to an order. It is pure: no clock, no
// random numbers, no input or output.
package domain

import "github.com/ordermesh/ordermesh/contracts/orders"

// Schema is the number of Order's layout as a snapshot.
const Schema = 1

// Order is what decisions need of an order, and no more: it rides along in every
// commit. The zero value does not exist. What people see of an order is folded from
// its history.
type Order struct {
	Status      orders.Status `json:"s,omitzero"`
	CustomerID  string        `json:"c,omitzero"`
	RequestHash string        `json:"h,omitzero"`
}

// Evolve returns the order after an event.
func Evolve(o Order, e orders.Event) Order {
	switch e := e.(type) {
	case orders.OrderPlaced:
		return Order{Status: orders.Placed, CustomerID: e.CustomerID, RequestHash: e.RequestHash}
	case orders.OrderConfirmed:
		o.Status = orders.Confirmed
	case orders.OrderDispatched:
		o.Status = orders.Dispatched
	case orders.OrderShipped:
		o.Status = orders.Shipped
	case orders.OrderDelivered:
		o.Status = orders.Delivered
	case orders.OrderCancelled:
		o.Status = orders.Cancelled
	}
	return o
}
