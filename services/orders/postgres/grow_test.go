package postgres_test

import (
	"fmt"
	"io/fs"
	"testing"
	"testing/fstest"
	"time"

	bus "github.com/ordermesh/ordermesh/bus/view"
	tables "github.com/ordermesh/ordermesh/bus/view/postgres"
	"github.com/ordermesh/ordermesh/contracts/money"
	"github.com/ordermesh/ordermesh/contracts/orders"
	"github.com/ordermesh/ordermesh/services/orders/postgres"
	"github.com/ordermesh/ordermesh/services/orders/view"
)

// grown is the row of a later build, which has one column more.
type grown struct {
	view.Row

	Channel string
}

// grownTable is the table of a later build.
func grownTable(t *testing.T) tables.Table[grown] {
	t.Helper()
	old := postgres.Table()
	first, err := fs.ReadFile(old.Migrations, "00001_orders.sql")
	check(t, err)
	return tables.Table[grown]{
		Schema: old.Schema, Name: old.Name, Columns: append(old.Columns, "channel"), List: old.List,
		Fields: func(r *grown) []any { return append(old.Fields(&r.Row), &r.Channel) },
		Migrations: fstest.MapFS{
			"00001_orders.sql": {Data: first},
			"00002_channel.sql": {Data: []byte(`-- +goose Up
ALTER TABLE orders.orders ADD COLUMN channel text COLLATE "C" NOT NULL DEFAULT 'web';
CREATE INDEX orders_channel ON orders.orders (channel, placed_at, key);
`)},
		},
	}
}

func placedAt(minute int) view.Row {
	return view.Row{
		ID: fmt.Sprint("o", minute), Customer: "ada", Status: orders.Placed, Total: money.New(100, "EUR"),
		Placed: time.Date(2026, 1, 1, 0, minute, 0, 0, time.UTC), Lines: []view.Line{{SKU: "TEA", Quantity: 1, Price: 100}},
	}
}

// TestATableGrowsWhileItIsUsed: a process of this build writes and reads before, during and
// after the migration of a later build, and the later build reads what it wrote.
func TestATableGrowsWhileItIsUsed(t *testing.T) {
	t.Parallel()
	old, pool := open(t)
	at := func(sequence int) bus.Checkpoint { return bus.Checkpoint{Sequence: uint64(sequence)} }
	write := func(minute int) error {
		row := placedAt(minute)
		return old.Apply(t.Context(), at(minute), at(minute+1), []bus.Change[view.Row]{{Entry: bus.Entry[view.Row]{Key: row.ID, Version: 1, Row: row}}})
	}
	question := view.Question{From: placedAt(0).Placed, Until: placedAt(1000).Placed, Now: placedAt(1000).Placed, Top: 9}
	read := func(n int) {
		page, err := old.Page(t.Context(), bus.Query{List: view.List{Customer: "ada"}.Name(), Limit: 1000})
		figures, reportErr := old.Report(t.Context(), question)
		summary, sumErr := old.Customer(t.Context(), "ada")
		if err != nil || reportErr != nil || sumErr != nil || len(page) != n || len(figures.Totals) != 1 ||
			figures.Totals[0].Orders != int64(n) || summary.Orders != int64(n) {
			t.Fatalf("%d of %d orders, %+v, %+v: %v, %v, %v", len(page), n, figures.Totals, summary, err, reportErr, sumErr)
		}
	}
	n := 0
	for range 5 {
		check(t, write(n))
		n++
	}
	read(n)
	opened := make(chan error, 1)
	var later *tables.Store[grown]
	go func() {
		var err error
		later, err = tables.Open(t.Context(), pool, grownTable(t))
		opened <- err
	}()
	for migrating := true; migrating || n < 60; n++ {
		check(t, write(n))
		read(n + 1)
		select {
		case err := <-opened:
			check(t, err)
			migrating = false
		default:
		}
	}
	row := grown{placedAt(n), "phone"}
	check(t, later.Apply(t.Context(), at(n), at(n+1), []bus.Change[grown]{{Entry: bus.Entry[grown]{Key: row.ID, Version: 1, Row: row}}}))
	n++
	check(t, write(n))
	n++
	read(n)
	check(t, old.Migrate(t.Context())) // a process of this build starts once more
	read(n)
	rows, err := later.Rows(t.Context(), "o0", fmt.Sprint("o", n-2), fmt.Sprint("o", n-1))
	check(t, err)
	if len(rows) != 3 || rows["o0"].Row.Channel != "web" || rows[row.ID].Row.Channel != "phone" || rows[fmt.Sprint("o", n-1)].Row.Channel != "web" {
		t.Errorf("the later build reads %+v", rows)
	}
}
