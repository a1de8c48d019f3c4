package orders

import "time"

// AcceptancePolicy names the rules that decide about new orders: the document
// orders.acceptance in the bucket of policies. Without it every order is accepted.
const AcceptancePolicy = "acceptance"

// Outcome is what the rules say about a new order.
type Outcome string

// The outcomes.
const (
	OutcomeAccept Outcome = "accept"
	OutcomeHold   Outcome = "hold"   // a person must decide, as about an order over the limit
	OutcomeReject Outcome = "reject" // it is stored, and cancelled at once
)

// Reasons of rules that give none themselves.
const (
	ReasonRuleFailed = "rule_failed" // a rule could not be evaluated: the order is held
	ReasonNoRule     = "no_rule"     // no rule holds, and that holds or rejects the order
)

// Acceptance is what the rules said about an order when it was placed, and what they saw
// beside the order itself. The time was that at which it was placed.
type Acceptance struct {
	Outcome  Outcome          `json:"outcome"`
	Rule     string           `json:"rule,omitzero"`     // that decided; none if no rule holds
	Reason   string           `json:"reason,omitzero"`   // why it is held or rejected
	Revision uint64           `json:"revision"`          // of the rules in the bucket of policies
	Customer *CustomerHistory `json:"customer,omitzero"` // if any rule asks for it
	Error    string           `json:"error,omitzero"`    // why a rule could not be evaluated
}

// CustomerHistory is what a customer had ordered before. It is as fresh as the lists of
// orders are: an order of a moment ago may be missing.
type CustomerHistory struct {
	Orders    int64     `json:"orders"`
	Cancelled int64     `json:"cancelled"`
	Delivered int64     `json:"delivered"`
	Spent     int64     `json:"spent"` // paid and not given back, in minor units of the order's currency
	Since     time.Time `json:"since"` // when the first order was placed; now for the first one
}

// AcceptanceVariables is what the rules can speak of.
type AcceptanceVariables struct {
	Order    RuleOrder    `json:"order" doc:"the new order"`
	Customer RuleCustomer `json:"customer" doc:"who places it, and what that customer has ordered before"`
	Now      time.Time    `json:"now" doc:"when it is placed"`
}

// RuleOrder is a new order as rules see it.
type RuleOrder struct {
	Total      int64      `json:"total" doc:"in minor units of the currency"`
	Currency   string     `json:"currency" max:"3" doc:"such as EUR"`
	Country    string     `json:"country" max:"2" doc:"where it is sent, ISO 3166, such as DE"`
	PostalCode string     `json:"postal_code" max:"200"`
	City       string     `json:"city" max:"200"`
	Quantity   int64      `json:"quantity" doc:"pieces in all lines"`
	Lines      []RuleLine `json:"lines" max:"100"`
}

// RuleLine is a line of a new order as rules see it.
type RuleLine struct {
	SKU      string `json:"sku" max:"64"`
	Quantity int64  `json:"quantity"`
	Price    int64  `json:"price" doc:"of one piece, in minor units of the order's currency"`
}

// RuleCustomer is a customer as rules see them.
type RuleCustomer struct {
	ID        string    `json:"id" max:"64"`
	Orders    int64     `json:"orders" doc:"orders before this one"`
	Cancelled int64     `json:"cancelled" doc:"those of them that were cancelled"`
	Delivered int64     `json:"delivered" doc:"those of them that were delivered"`
	Spent     int64     `json:"spent" doc:"paid and not given back, in minor units of the order's currency"`
	Since     time.Time `json:"since" doc:"when the first of them was placed; now if there is none"`
}

// RuleInput is what the rules see of a placed order; history is what is known of the
// customer, nil for nothing.
func (e OrderPlaced) RuleInput(history *CustomerHistory) AcceptanceVariables {
	v := AcceptanceVariables{
		Order: RuleOrder{
			Total: e.Total.Minor, Currency: e.Total.Currency, Country: e.ShipTo.Country, PostalCode: e.ShipTo.PostalCode, City: e.ShipTo.City,
			Lines: make([]RuleLine, len(e.Lines)),
		},
		Customer: RuleCustomer{ID: e.CustomerID, Since: e.PlacedAt},
		Now:      e.PlacedAt,
	}
	for i, l := range e.Lines {
		v.Order.Lines[i] = RuleLine{SKU: l.SKU, Quantity: l.Quantity, Price: l.UnitPrice.Minor}
		v.Order.Quantity += l.Quantity
	}
	if h := history; h != nil {
		v.Customer.Orders, v.Customer.Cancelled, v.Customer.Delivered, v.Customer.Spent, v.Customer.Since = h.Orders, h.Cancelled, h.Delivered, h.Spent, h.Since
	}
	return v
}
