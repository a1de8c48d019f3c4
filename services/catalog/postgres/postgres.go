// Package postgres keeps the view of the catalog in PostgreSQL: table catalog.products,
// one row for each product.
//
// It is the same view as the one in memory, for all instances of the service together;
// see bus/view/postgres for what is promised.
package postgres

import (
	"embed"

	"github.com/ordermesh/ordermesh/bus/view/postgres"
	"github.com/ordermesh/ordermesh/services/catalog/view"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Table says how products are kept.
func Table() postgres.Table[view.Row] {
	return postgres.Table[view.Row]{
		Schema: "catalog", Name: "products",
		Columns: []string{"sku", "name", "price", "currency", "active"},
		Fields: func(r *view.Row) []any {
			p := &r.Product
			return []any{&r.SKU, &p.Name, &p.Price.Minor, &p.Price.Currency, &p.Active}
		},
		List:       list,
		Migrations: postgres.Folder(migrations, "migrations"),
	}
}

func list(name string) (postgres.List, bool) {
	l := postgres.List{Order: postgres.Text("key")}
	switch name {
	case view.All:
	case view.Active:
		l.Where = "active"
	case view.Inactive:
		l.Where = "NOT active"
	default:
		return l, false
	}
	return l, true
}
