// Package postgres keeps the view of orders in PostgreSQL: table orders.orders, one row
// for each order, and the reports over it in SQL.
//
// It is the same view as the one in memory, for all instances of the service together;
// see bus/view/postgres for what is promised.
package postgres

import (
	"embed"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/ordermesh/ordermesh/bus/view/postgres"
	"github.com/ordermesh/ordermesh/services/orders/view"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Store is the view in PostgreSQL.
type Store struct {
	*postgres.Store[view.Row]

	pool *pgxpool.Pool
}

var _ view.Store = (*Store)(nil)

// New returns the view over a pool and asks nothing of the database yet.
func New(pool *pgxpool.Pool, opts ...postgres.Option) (*Store, error) {
	s, err := postgres.New(pool, Table(), opts...)
	if err != nil {
		return nil, err
	}
	return &Store{s, pool}, nil
}

// Table says how orders are kept.
func Table() postgres.Table[view.Row] {
	return postgres.Table[view.Row]{
		Schema: "orders", Name: "orders",
		Columns: []string{"order_id", "customer_id", "status", "total", "currency", "refunded", "placed_at", "lines"},
		Fields: func(r *view.Row) []any {
			return []any{&r.ID, &r.Customer, &r.Status, &r.Total.Minor, &r.Total.Currency, &r.Refunded, &r.Placed, &r.Lines}
		},
		List:       list,
		Migrations: postgres.Folder(migrations, "migrations"),
	}
}

func list(name string) (postgres.List, bool) {
	l, ok := view.ParseList(name)
	if !ok {
		return postgres.List{}, false
	}
	var c conditions
	if l.Customer != "" {
		c.add("customer_id = %s", l.Customer)
	}
	if l.Status != "" {
		c.add("status = %s", string(l.Status))
	}
	order := postgres.Moment("placed_at")
	if l.ByID {
		order = postgres.Text("key")
	}
	return postgres.List{Where: c.sql(), Args: c.args, Order: order}, true
}

// conditions are parts of a WHERE and their parameters.
type conditions struct {
	parts []string
	args  []any
}

// add adds a condition in which %s stands for a parameter.
func (c *conditions) add(condition string, arg any) {
	c.parts = append(c.parts, fmt.Sprintf(condition, c.param(arg)))
}

func (c *conditions) param(arg any) string {
	c.args = append(c.args, arg)
	return fmt.Sprintf("$%d", len(c.args))
}

func (c *conditions) sql() string { return strings.Join(c.parts, " AND ") }
