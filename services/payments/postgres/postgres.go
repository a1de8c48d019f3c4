// Package postgres keeps the view of payments in PostgreSQL: table payments.payments, one
// row for each order that has a payment.
//
// It is the same view as the one in memory, for all instances of the service together;
// see bus/view/postgres for what is promised.
package postgres

import (
	"embed"

	"github.com/ordermesh/ordermesh/bus/view/postgres"
	"github.com/ordermesh/ordermesh/services/payments/view"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Table says how payments are kept.
func Table() postgres.Table[view.Row] {
	return postgres.Table[view.Row]{
		Schema: "payments", Name: "payments",
		Columns: []string{"first_sequence", "status", "payment_id", "amount", "currency", "captured", "refunded", "reason"},
		Fields: func(r *view.Row) []any {
			p := &r.Payment
			return []any{&r.First, &p.Status, &p.ID, &p.Amount.Minor, &p.Amount.Currency, &p.Captured, &p.Refunded, &p.Reason}
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
