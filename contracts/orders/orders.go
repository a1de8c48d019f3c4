// Package orders is what the orders service says: an order from placed to delivered
// or cancelled.
//
// It promises that an order that was answered exists, that placing one twice under
// the same id or idempotency key gives one order, and that prices come from the
// catalog. Payment tokens are sealed into references before anything is stored.
package orders

import (
	"strconv"
	"time"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/contracts/line"
	"github.com/ordermesh/ordermesh/contracts/money"
	"github.com/ordermesh/ordermesh/contracts/page"
	"github.com/ordermesh/ordermesh/contracts/postal"
	"github.com/ordermesh/ordermesh/contracts/text"
)

// The methods of the orders service.
var (
	Place = contract.NewMethod[PlaceOrder, Order]("orders", "place",
		contract.HTTP("POST /api/v1/orders", contract.Keyed(), contract.Creates("/api/v1/orders/{order_id}"), contract.Hides("order_id")),
		contract.Doc("places an order at the catalog's prices; its checkout starts by itself"))
	Get = contract.NewMethod[GetOrder, Order]("orders", "get", contract.Read(), contract.HTTP("GET /api/v1/orders/{order_id}"),
		contract.Doc("answers one order with its history as it is now"))
	List = contract.NewMethod[ListOrders, Orders]("orders", "list", contract.Lists(), contract.HTTP("GET /api/v1/orders"),
		contract.Doc("lists orders, the newest first, or finds those whose ids begin with something"))
	Cancel = contract.NewMethod[CancelOrder, Order]("orders", "cancel", contract.Idempotent(), contract.Urgent(),
		contract.HTTP("POST /api/v1/orders/{order_id}/cancel", contract.Expects("if_version")),
		contract.Doc("cancels an order that is not dispatched; money and stock go back by themselves"))
)

// PlaceOrder places an order. Without an order id it is derived from the
// Idempotency-Key (see [DeriveID]), without either it is fresh. Members that are
// added later must be omitted when empty: the request's hash recognises a retry.
type PlaceOrder struct {
	OrderID    string         `json:"order_id,omitzero"`
	CustomerID string         `json:"customer_id"`
	Lines      []line.Line    `json:"lines"`
	Payment    PaymentMethod  `json:"payment"`
	ShipTo     postal.Address `json:"ship_to"`
}

// PaymentMethod is how the customer pays.
type PaymentMethod struct {
	Token string `json:"token"` // from the provider; never stored
}

// Validate refuses what no catalog and no stock could make right. It depends on the
// request alone: a request that passed once passes again.
func (r PlaceOrder) Validate() error {
	if r.OrderID != "" {
		if err := contract.CheckID("/order_id", r.OrderID); err != nil {
			return err
		}
	}
	if err := contract.CheckID("/customer_id", r.CustomerID); err != nil {
		return err
	}
	if err := line.Check("/lines", r.Lines); err != nil {
		return err
	}
	if err := text.Visible("/payment/token", r.Payment.Token, text.MaxLine); err != nil {
		return err
	}
	return r.ShipTo.Check("/ship_to")
}

// GetOrder asks for one order. With MinVersion the answer waits until the order has
// come that far, or the caller's time is nearly over.
type GetOrder struct {
	OrderID    string `json:"order_id"`
	MinVersion uint64 `json:"min_version,omitzero"`
}

// Validate refuses a malformed id and a version that no order reaches.
func (r GetOrder) Validate() error {
	if r.MinVersion > MaxVersion {
		return contract.ErrInvalid.At("/min_version").Sayf("min_version must be at most %s", strconv.Itoa(MaxVersion))
	}
	return contract.CheckID("/order_id", r.OrderID)
}

// MaxVersion is more than any order reaches.
const MaxVersion = 1000

// ListOrders asks for a page of orders, the newest first. Filters narrow each other.
// With the beginning of an order id it asks for a search: then the page is in the order
// of the ids, and of the other filters it takes the customer alone.
type ListOrders struct {
	CustomerID    string         `json:"customer_id,omitzero"`
	Status        Status         `json:"status,omitzero"`
	From          time.Time      `json:"from,omitzero"`  // placed at this time or later
	Until         time.Time      `json:"until,omitzero"` // placed before this time
	OrderIDPrefix string         `json:"order_id_prefix,omitzero"`
	Reflects      *page.Reflects `json:"reflects,omitzero"` // an order that the page must have seen
	Limit         int            `json:"limit,omitzero"`
	Cursor        string         `json:"cursor,omitzero"`
}

// Validate refuses malformed filters and pages.
func (r ListOrders) Validate() error {
	if r.CustomerID != "" {
		if err := contract.CheckID("/customer_id", r.CustomerID); err != nil {
			return err
		}
	}
	if r.Status != "" && !r.Status.Known() {
		return contract.ErrInvalid.At("/status").Sayf("status must be one of placed, confirmed, on_hold, dispatched, shipped, delivered, cancelled")
	}
	if !r.From.IsZero() && !r.Until.IsZero() && !r.From.Before(r.Until) {
		return contract.ErrInvalid.At("/until").Sayf("until must be after from")
	}
	if err := r.checkSearch(); err != nil {
		return err
	}
	if err := r.Reflects.Check("/reflects"); err != nil {
		return err
	}
	return page.Check(r.Limit, r.Cursor)
}

func (r ListOrders) checkSearch() error {
	if r.OrderIDPrefix != "" && (r.Status != "" || !r.From.IsZero() || !r.Until.IsZero()) {
		return contract.ErrInvalid.At("/order_id_prefix").Sayf("order_id_prefix goes with customer_id, but not with status, from or until")
	}
	return page.CheckPrefix("/order_id_prefix", r.OrderIDPrefix)
}

// CancelOrder cancels an order. With IfVersion it does so only if the order is still at
// that version, as the caller has seen it.
type CancelOrder struct {
	OrderID   string `json:"order_id"`
	Reason    string `json:"reason"`
	IfVersion uint64 `json:"if_version,omitzero"`
}

// Validate refuses a malformed id and reason.
func (r CancelOrder) Validate() error {
	if err := contract.CheckID("/order_id", r.OrderID); err != nil {
		return err
	}
	if r.IfVersion > MaxVersion {
		return contract.ErrInvalid.At("/if_version").Sayf("if_version must be at most %d", MaxVersion)
	}
	return text.Required("/reason", r.Reason)
}

// Order is an order as it is now, or as it was after the command that answers it.
type Order struct {
	OrderID    string        `json:"order_id"`
	CustomerID string        `json:"customer_id"`
	Status     Status        `json:"status"`
	Lines      []Line        `json:"lines"`
	Charges    []Charge      `json:"charges"`
	Total      money.Amount  `json:"total"`
	PaymentID  string        `json:"payment_id,omitzero"`
	ShipmentID string        `json:"shipment_id,omitzero"`
	Reason     string        `json:"reason,omitzero"`     // why it was cancelled
	Acceptance *Acceptance   `json:"acceptance,omitzero"` // what the rules said; not for customers
	Hold       *Hold         `json:"hold,omitzero"`
	Refunded   money.Amount  `json:"refunded,omitzero"` // what was given back of the total
	Refunds    []OrderRefund `json:"refunds,omitzero"`
	PlacedAt   time.Time     `json:"placed_at"`
	Version    uint64        `json:"version"`
	History    []Change      `json:"history"`
}

// Line is one line of an order with the catalog's name and price at that time.
type Line struct {
	SKU       string       `json:"sku"`
	Name      string       `json:"name"`
	Quantity  int64        `json:"quantity"`
	UnitPrice money.Amount `json:"unit_price"`
}

// Charge is what the customer pays besides the lines.
type Charge struct {
	Name   string       `json:"name"`
	Amount money.Amount `json:"amount"`
}

// Change is one event in an order's history.
type Change struct {
	Type    string    `json:"type"` // such as order.placed.v1
	At      time.Time `json:"at"`
	Version uint64    `json:"version"`
	Note    string    `json:"note,omitzero"` // such as what rule has decided; not for customers
}

// Orders is one page of orders.
type Orders struct {
	Orders     []Summary `json:"orders"`
	NextCursor string    `json:"next_cursor,omitzero"` // absent on the last page
	Behind     uint64    `json:"behind"`               // messages that this view has not seen yet
	Halted     bool      `json:"halted,omitzero"`      // the view stands still until somebody mends it; see mesh view status
}

// Summary is an order in a list.
type Summary struct {
	OrderID    string       `json:"order_id"`
	CustomerID string       `json:"customer_id"`
	Status     Status       `json:"status"`
	Total      money.Amount `json:"total"`
	PlacedAt   time.Time    `json:"placed_at"`
	Version    uint64       `json:"version"`
}
