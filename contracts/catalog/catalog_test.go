package catalog_test

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/contracts/catalog"
	"github.com/ordermesh/ordermesh/contracts/golden"
	"github.com/ordermesh/ordermesh/contracts/money"
	"github.com/ordermesh/ordermesh/contracts/page"
)

func put() catalog.PutProduct {
	active := true
	return catalog.PutProduct{SKU: "TEA-001", Name: "Assam, 100 g", Price: money.In(money.New(1299, "EUR")), Active: &active}
}

func TestContract(t *testing.T) {
	t.Parallel()
	product := catalog.Product{SKU: "TEA-001", Name: "Assam, 100 g", Price: money.New(1299, "EUR"), Active: true, Version: 3}
	s := golden.New(t)
	golden.Method(s, catalog.Put, put(), product)
	golden.Method(s, catalog.Get, catalog.GetProduct{SKU: "TEA-001", MinVersion: 1}, product)
	golden.Method(s, catalog.Find, catalog.FindProducts{SKUs: []string{"TEA-001", "TEA-404"}}, catalog.FoundProducts{Products: []catalog.Product{product}})
	sold := true
	golden.Method(s, catalog.List, catalog.ListProducts{
		Active: &sold, SKUPrefix: "TEA", Reflects: &page.Reflects{ID: "TEA-001", Version: 1}, Limit: 20, Cursor: "VEVBLTAwMQ",
	},
		catalog.Products{Products: []catalog.Product{product}, NextCursor: "VEVBLTAwMQ", Behind: 2})
	golden.Event(s, catalog.Events, catalog.Event(catalog.ProductPut{Name: "Assam, 100 g", Price: money.New(1299, "EUR"), Active: true}))
	s.Complete(catalog.Descriptor)
}

func TestValidate(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*catalog.PutProduct)
		code   contract.Code
		field  string
	}{
		"wildcard SKU":     {func(r *catalog.PutProduct) { r.SKU = ">" }, contract.Invalid, "/sku"},
		"long SKU":         {func(r *catalog.PutProduct) { r.SKU = strings.Repeat("a", 65) }, contract.Invalid, "/sku"},
		"no name":          {func(r *catalog.PutProduct) { r.Name = "" }, contract.Invalid, "/name"},
		"NUL in name":      {func(r *catalog.PutProduct) { r.Name = "a\x00" }, contract.Invalid, "/name"},
		"no amount":        {func(r *catalog.PutProduct) { r.Price.Minor = nil }, contract.Invalid, "/price/amount"},
		"negative price":   {func(r *catalog.PutProduct) { r.Price = money.In(money.New(-1, "EUR")) }, contract.Unprocessable, "/price/amount"},
		"smallest number":  {func(r *catalog.PutProduct) { r.Price = money.In(money.New(math.MinInt64, "EUR")) }, contract.Unprocessable, "/price/amount"},
		"unknown currency": {func(r *catalog.PutProduct) { r.Price.Currency = "XXX" }, contract.Unprocessable, "/price/currency"},
	} {
		r := put()
		c.change(&r)
		var e *contract.Error
		if err := r.Validate(); !errors.As(err, &e) || e.Code != c.code || e.Field != c.field {
			t.Errorf("%s: %v, want %v at %s", name, err, c.code, c.field)
		}
	}
}

func TestValidateReads(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		req   contract.Validator
		field string
	}{
		"get *":           {catalog.GetProduct{SKU: "*"}, "/sku"},
		"get version":     {catalog.GetProduct{SKU: "a", MinVersion: page.MaxVersion + 1}, "/min_version"},
		"find nothing":    {catalog.FindProducts{}, "/skus"},
		"find too much":   {catalog.FindProducts{SKUs: make([]string, catalog.MaxFound+1)}, "/skus"},
		"find *":          {catalog.FindProducts{SKUs: []string{"a", "*"}}, "/skus/1"},
		"list prefix":     {catalog.ListProducts{SKUPrefix: "a."}, "/sku_prefix"},
		"list reflects >": {catalog.ListProducts{Reflects: &page.Reflects{ID: ">"}}, "/reflects/id"},
		"list limit":      {catalog.ListProducts{Limit: -1}, "/limit"},
	} {
		var e *contract.Error
		if err := c.req.Validate(); !errors.As(err, &e) || e.Code != contract.Invalid || e.Field != c.field {
			t.Errorf("%s: %v, want a refusal at %s", name, err, c.field)
		}
	}
}
