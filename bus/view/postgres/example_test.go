package postgres_test

import (
	"context"
	"os"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/event"
	"github.com/ordermesh/ordermesh/bus/view"
	"github.com/ordermesh/ordermesh/bus/view/postgres"
)

// A view of tallies in a table: several processes may run this, one of them folds.
func ExampleNew() {
	largest := func(ctx context.Context, conn *bus.Conn, pool *pgxpool.Pool) ([]view.Entry[uint64], error) {
		store, err := postgres.New(pool, postgres.Table[uint64]{
			Schema: "tallying", Name: "sums", Columns: []string{"sum"},
			Fields: func(sum *uint64) []any { return []any{sum} },
			List: func(name string) (postgres.List, bool) {
				return postgres.List{Order: postgres.Number("sum")}, name == "all"
			},
			Migrations: os.DirFS("migrations"),
		})
		if err != nil {
			return nil, err
		}
		sums, err := view.New(conn, tallies, view.Store[uint64](store), view.Fold[tallyEvent, uint64]{
			Apply: func(sum uint64, e event.Event[tallyEvent]) uint64 { return sum + uint64(e.Data.(counted).N) },
		})
		if err != nil {
			return nil, err
		}
		go func() { _ = sums.Run(ctx) }()
		page, err := sums.Page(ctx, view.Query{List: "all", Newest: true, Limit: 10}, "")
		return page.Entries, err
	}
	_ = largest
}
