package catalog

import (
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/contracts/money"
)

// Event is an event of a product.
//
//sumtype:decl
type Event interface{ productEvent() }

// ProductPut says what a product is from now on.
type ProductPut struct {
	Name   string       `json:"name"`
	Price  money.Amount `json:"price"`
	Active bool         `json:"active"`
}

func (ProductPut) productEvent() {}

// Events are the events of the entity "product", whose id is the SKU.
var Events = contract.NewEvents[Event]("catalog", "CATALOG", "product",
	contract.Type[Event, ProductPut]("product.put.v1"),
)
