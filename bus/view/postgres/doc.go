// Package postgres keeps the rows of a view in a PostgreSQL table of typed columns, for
// all instances of a service together.
//
// A service declares the table beside its view:
//
//	//go:embed migrations/*.sql
//	var migrations embed.FS
//
//	func Table() postgres.Table[view.Row] {
//		return postgres.Table[view.Row]{
//			Schema: "orders", Name: "orders",
//			Columns: []string{"customer", "status", "minor", "currency", "placed_at", "first"},
//			Fields: func(r *view.Row) []any {
//				return []any{&r.Customer, &r.Status, &r.Total.Minor, &r.Total.Currency, &r.PlacedAt, &r.First}
//			},
//			List: func(name string) (postgres.List, bool) {
//				customer, ok := strings.CutPrefix(name, "customer/")
//				return postgres.List{Where: "customer = $1", Args: []any{customer}, Order: postgres.Number("first")}, ok
//			},
//			Migrations: postgres.Folder(migrations, "migrations"),
//		}
//	}
//
// and creates it in migrations/00001_orders.sql:
//
//	-- +goose Up
//	CREATE TABLE orders.orders (
//		key text COLLATE "C" PRIMARY KEY, -- the entity's id
//		version bigint NOT NULL,          -- the entity's version
//		customer text COLLATE "C" NOT NULL, … first bigint NOT NULL
//	);
//	CREATE INDEX orders_by_customer ON orders.orders (customer, first, key);
//
// The columns must hold all that the fold needs to go on from: a row is read back before
// the next event is folded into it. An index that serves a list ends with the list's
// order and the key. Migrations run under a lock when a process begins to share the
// store, so that old and new processes must both be able to use what they leave.
//
// It promises that rows and checkpoint change in one transaction, which only succeeds at
// the checkpoint and the generation that its writer has seen: of two writers one gets
// [view.ErrMoved]. One process at a time is elected to write by a lock of its session;
// the election saves work, the checkpoint is what keeps rows right. When the checkpoint
// moves, all processes hear of it.
//
// Outages, restarts, conflicts and a database that takes no writes for a while are
// ordinary errors, to be tried again. What trying again does not mend, such as a value
// that a column refuses or a missing right, wraps [view.ErrRefused].
//
// It needs PostgreSQL 14 or newer, and connections of its own to the server: a pooler
// between the two must pool sessions, not transactions.
package postgres
