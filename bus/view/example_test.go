package view_test

import (
	"context"
	"fmt"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/event"
	"github.com/ordermesh/ordermesh/bus/view"
)

// A view of tallies, the largest first.
func ExampleNew() {
	type row struct{ Sum uint64 }
	largest := func(ctx context.Context, conn *bus.Conn) error {
		tallies, err := view.New(conn, tallies, view.NewMemory[row](), view.Fold[tallyEvent, row]{
			Apply: func(r row, e event.Event[tallyEvent]) row {
				return row{r.Sum + uint64(e.Data.(counted).N)}
			},
			Lists: func(r row) []view.Place { return []view.Place{{List: "all", Order: view.Ascending(r.Sum)}} },
		})
		if err != nil {
			return err
		}
		go func() { _ = tallies.Run(ctx) }()
		page, err := tallies.Page(ctx, view.Query{List: "all", Newest: true, Limit: 10}, "")
		for _, e := range page.Entries {
			fmt.Println(e.Key, e.Row.Sum)
		}
		return err
	}
	_ = largest
}
