package orders

import (
	"time"

	"github.com/ordermesh/ordermesh/contracts/money"
	"github.com/ordermesh/ordermesh/contracts/postal"
)

// placedV0 is order.placed.v0, written before 1.0: one price currency for the whole
// order, no total, no request hash. It is read, never written.
type placedV0 struct {
	Customer  string         `json:"customer"`
	Items     []itemV0       `json:"items"`
	Currency  string         `json:"currency"`
	Reference string         `json:"reference"`
	ShipTo    postal.Address `json:"ship_to"`
	At        time.Time      `json:"at"`
}

type itemV0 struct {
	SKU   string `json:"sku"`
	Title string `json:"title"`
	Count int64  `json:"count"`
	Price int64  `json:"price"`
}

// lift makes today's event of the old one. The total was checked against overflow
// when the order was placed.
func (old placedV0) lift() Event {
	e := OrderPlaced{
		CustomerID: old.Customer, PaymentReference: old.Reference, ShipTo: old.ShipTo, PlacedAt: old.At,
		Total: money.New(0, old.Currency),
	}
	for _, item := range old.Items {
		e.Lines = append(e.Lines, Line{
			SKU: item.SKU, Name: item.Title, Quantity: item.Count, UnitPrice: money.New(item.Price, old.Currency),
		})
		e.Total.Minor += item.Count * item.Price
	}
	return e
}
