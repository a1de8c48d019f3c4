// Package postgres keeps the view of shipments in PostgreSQL: table shipping.shipments,
// one row for each order that has a shipment.
//
// It is the same view as the one in memory, for all instances of the service together;
// see bus/view/postgres for what is promised.
package postgres

import (
	"embed"

	"github.com/ordermesh/ordermesh/bus/view/postgres"
	"github.com/ordermesh/ordermesh/services/shipping/view"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Table says how shipments are kept.
func Table() postgres.Table[view.Row] {
	return postgres.Table[view.Row]{
		Schema: "shipping", Name: "shipments",
		Columns: []string{"first_sequence", "status", "shipment_id", "due"},
		Fields: func(r *view.Row) []any {
			s := &r.Shipment
			return []any{&r.First, &s.Status, &s.ID, &s.Due}
		},
		List:       list,
		Migrations: postgres.Folder(migrations, "migrations"),
	}
}

func list(name string) (postgres.List, bool) {
	status, ok := view.ParseList(name)
	l := postgres.List{Order: postgres.Number("first_sequence")}
	if status != "" {
		l.Where, l.Args = "status = $1", []any{string(status)}
	}
	return l, ok
}
