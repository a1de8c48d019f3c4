package domain_test

import (
	"testing"

	"github.com/ordermesh/ordermesh/contracts/catalog"
	"github.com/ordermesh/ordermesh/contracts/money"
	"github.com/ordermesh/ordermesh/contracts/spec"
	"github.com/ordermesh/ordermesh/services/catalog/domain"
)

func TestProduct(t *testing.T) {
	t.Parallel()
	type given = []catalog.Event
	tea := catalog.ProductPut{Name: "Assam", Price: money.New(1299, "EUR"), Active: true}
	dearer := catalog.ProductPut{Name: "Assam", Price: money.New(1399, "EUR"), Active: true}
	gone := catalog.ProductPut{Name: "Assam", Price: money.New(1299, "EUR")}
	spec.Run(t, domain.Decide, domain.Evolve, []spec.Case[domain.Put, catalog.Event]{
		{Name: "a new product is put", When: domain.Put(tea), Then: given{tea}},
		{Name: "the same product again is nothing new", Given: given{tea}, When: domain.Put(tea)},
		{Name: "a price changes", Given: given{tea}, When: domain.Put(dearer), Then: given{dearer}},
		{Name: "a product is no longer sold", Given: given{tea}, When: domain.Put(gone), Then: given{gone}},
		{Name: "a product is sold again", Given: given{tea, gone}, When: domain.Put(tea), Then: given{tea}},
	})
}
