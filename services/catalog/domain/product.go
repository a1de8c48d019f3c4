// Package domain decides what may happen to a product. It is pure: no clock, no
// random numbers, no input or output.
package domain

import (
	"github.com/ordermesh/ordermesh/contracts/catalog"
	"github.com/ordermesh/ordermesh/contracts/money"
)

// Schema is the number of Product's layout as a snapshot.
const Schema = 1

// Product is what decisions need of a product; the zero value does not exist.
type Product struct {
	Name   string       `json:"n,omitzero"`
	Price  money.Amount `json:"p,omitzero"`
	Active bool         `json:"a,omitzero"`
}

// Put says what the product is from now on.
type Put struct {
	Name   string
	Price  money.Amount
	Active bool
}

// Decide returns the events of a command. To put what is there already is nothing.
func Decide(p Product, c Put) ([]catalog.Event, error) {
	if p == Product(c) {
		return nil, nil
	}
	return []catalog.Event{catalog.ProductPut(c)}, nil
}

// Evolve returns the product after an event.
func Evolve(p Product, e catalog.Event) Product {
	switch e := e.(type) { //nolint:gocritic // the linter for sealed interfaces wants a switch, which will notice the second event
	case catalog.ProductPut:
		return Product(e)
	}
	return p
}
