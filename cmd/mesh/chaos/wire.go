package chaos

// What the harness says and hears, written down once more from the wire's
// documentation and not taken from contracts: a slip there must show here.

type money struct {
	Amount   int64  `json:"amount"`
	Currency string `json:"currency"`
}

type product struct {
	SKU   string `json:"sku"`
	Name  string `json:"name"`
	Price money  `json:"price"`
}

type adjustment struct {
	SKU    string `json:"sku"`
	Delta  int64  `json:"delta"`
	Reason string `json:"reason"`
}

type stockQuery struct {
	SKU string `json:"sku"`
}

type stock struct {
	SKU       string `json:"sku"`
	OnHand    int64  `json:"on_hand"`
	Reserved  int64  `json:"reserved"`
	Available int64  `json:"available"`
	Version   uint64 `json:"version"`
}

type line struct {
	SKU      string `json:"sku"`
	Quantity int64  `json:"quantity"`
}

type payment struct {
	Token string `json:"token"`
}

type address struct {
	Name       string `json:"name"`
	Line1      string `json:"line1"`
	City       string `json:"city"`
	PostalCode string `json:"postal_code"`
	Country    string `json:"country"`
}

type placement struct {
	OrderID    string  `json:"order_id,omitzero"`
	CustomerID string  `json:"customer_id"`
	Lines      []line  `json:"lines"`
	Payment    payment `json:"payment"`
	ShipTo     address `json:"ship_to"`
}

type approval struct {
	OrderID string `json:"order_id"`
}

type placed struct {
	OrderID string `json:"order_id"`
	Status  string `json:"status"`
}

type cancellation struct {
	OrderID string `json:"order_id"`
	Reason  string `json:"reason"`
}

type orderQuery struct {
	OrderID string `json:"order_id"`
}

type order struct {
	OrderID string `json:"order_id"`
	Status  string `json:"status"`
	Reason  string `json:"reason"`
	Version uint64 `json:"version"`
}

func placeOrder(token string, lines ...line) placement {
	return placement{
		CustomerID: "c1", Lines: lines, Payment: payment{Token: token},
		ShipTo: address{Name: "Ada", Line1: "1 Main St", City: "Berlin", PostalCode: "10115", Country: "DE"},
	}
}
