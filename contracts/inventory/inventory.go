// Package inventory is what the inventory service says: stock per SKU in one
// warehouse and reservations per order. It knows neither prices nor customers.
//
// It promises that no more is held and sold than there is, and that a reservation,
// once closed, never holds anything again.
package inventory

import (
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/contracts/line"
	"github.com/ordermesh/ordermesh/contracts/page"
	"github.com/ordermesh/ordermesh/contracts/text"
)

// The methods of the inventory service.
var (
	Adjust = contract.NewMethod[AdjustStock, Stock]("inventory", "adjust",
		contract.Doc("adds to the stock of a SKU or takes from it, for a reason"))
	Get = contract.NewMethod[GetStock, Stock]("inventory", "get", contract.Read(), contract.HTTP("GET /api/v1/stock/{sku}"),
		contract.Doc("answers the stock of one SKU as it is now, or was a moment ago"))
	Reserve = contract.NewMethod[ReserveLines, Reservation]("inventory", "reserve", contract.Idempotent(),
		contract.Doc("holds stock for every line of an order, or for none and says what is short"))
	Release = contract.NewMethod[ReservationRef, Reservation]("inventory", "release", contract.Idempotent(), contract.Urgent(),
		contract.Doc("gives back what an order holds, or has been sold, and closes its reservation"))
	Commit = contract.NewMethod[ReservationRef, Reservation]("inventory", "commit", contract.Idempotent(),
		contract.Doc("turns what an order holds into what it was sold and closes its reservation"))
)

// MaxDelta is the largest change of stock in one request.
const MaxDelta = 1_000_000_000

// AdjustStock changes the stock on hand. With an Idempotency-Key it may be repeated.
type AdjustStock struct {
	SKU    string `json:"sku"`
	Delta  int64  `json:"delta"`
	Reason string `json:"reason"`
}

// Validate refuses a malformed request, a change of nothing and an absurd one.
func (r AdjustStock) Validate() error {
	if err := contract.CheckID("/sku", r.SKU); err != nil {
		return err
	}
	if r.Delta == 0 || r.Delta > MaxDelta || r.Delta < -MaxDelta {
		return ErrDelta.At("/delta")
	}
	return text.Required("/reason", r.Reason)
}

// GetStock asks for the stock of one SKU. The answer may be one that an instance
// remembers, and then tells how things were a few milliseconds ago, at worst 50 ms: every
// instance hears of every change, and reads the stock itself while it does not. It is
// for people and for offers; what is available is decided by Reserve alone, which
// remembers nothing. Only while the stock cannot be read may the answer be older, up to
// inventory.read_stale, unless it is known to be outdated.
//
// With MinVersion the answer waits until the stock has come that far, or the caller's
// time is nearly over. With Current the answer is rather an error than one that may have
// been overtaken.
type GetStock struct {
	SKU        string `json:"sku"`
	MinVersion uint64 `json:"min_version,omitzero"`
	Current    bool   `json:"current,omitzero"`
}

// Validate refuses a malformed SKU and a version that no stock reaches.
func (r GetStock) Validate() error {
	if err := page.CheckVersion("/min_version", r.MinVersion); err != nil {
		return err
	}
	return contract.CheckID("/sku", r.SKU)
}

// Stock is the stock of one SKU: Available = OnHand - Reserved, 0 ≤ Reserved ≤ OnHand.
type Stock struct {
	SKU       string `json:"sku"`
	OnHand    int64  `json:"on_hand"`
	Reserved  int64  `json:"reserved"`
	Available int64  `json:"available"`
	Version   uint64 `json:"version"`
}

// ReserveLines asks to hold stock for an order.
type ReserveLines struct {
	OrderID string      `json:"order_id"`
	Lines   []line.Line `json:"lines"`
}

// Validate refuses malformed ids and impossible lines.
func (r ReserveLines) Validate() error {
	if err := contract.CheckID("/order_id", r.OrderID); err != nil {
		return err
	}
	return line.Check("/lines", r.Lines)
}

// ReservationRef names the reservation of an order.
type ReservationRef struct {
	OrderID string `json:"order_id"`
}

// Validate refuses a malformed id.
func (r ReservationRef) Validate() error { return contract.CheckID("/order_id", r.OrderID) }

// Status is where a reservation stands. All but Open and Held are closed, and
// closed is final: nothing is held for the order ever again.
type Status string

// The states of a reservation.
const (
	Open      Status = "open"      // being held, line by line
	Held      Status = "held"      // every line is held
	Refused   Status = "refused"   // something was short; nothing is held
	Released  Status = "released"  // given back before it was sold
	Committed Status = "committed" // sold
	Returned  Status = "returned"  // sold and put back on the shelf
)

// Reservation is what an order holds.
type Reservation struct {
	OrderID string      `json:"order_id"`
	Status  Status      `json:"status"`
	Lines   []line.Line `json:"lines"`
	Short   string      `json:"short,omitzero"` // the SKU that was short, if refused
	Version uint64      `json:"version"`
}
