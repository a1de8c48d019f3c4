// Package postgres keeps the view of stock in PostgreSQL: table inventory.stock, one row
// for each SKU.
//
// It is the same view as the one in memory, for all instances of the service together;
// see bus/view/postgres for what is promised.
package postgres

import (
	"embed"

	"github.com/ordermesh/ordermesh/bus/view/postgres"
	"github.com/ordermesh/ordermesh/services/inventory/view"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Table says how stock is kept.
func Table() postgres.Table[view.Row] {
	return postgres.Table[view.Row]{
		Schema: "inventory", Name: "stock",
		Columns:    []string{"sku", "on_hand", "reserved"},
		Fields:     func(r *view.Row) []any { return []any{&r.SKU, &r.OnHand, &r.Reserved} },
		List:       list,
		Migrations: postgres.Folder(migrations, "migrations"),
	}
}

func list(name string) (postgres.List, bool) {
	switch name {
	case view.BySKU:
		return postgres.List{Order: postgres.Text("key")}, true
	case view.ByAvailable:
		return postgres.List{Order: postgres.Number("available")}, true
	}
	return postgres.List{}, false
}
