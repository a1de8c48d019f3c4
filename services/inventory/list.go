package inventory

import (
	"context"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/view"
	"github.com/ordermesh/ordermesh/contracts/inventory"
	"github.com/ordermesh/ordermesh/contracts/page"
	stockview "github.com/ordermesh/ordermesh/services/inventory/view"
)

// listing keeps the view of stock up to date.
type listing = view.Projection[inventory.StockEvent, stockview.Row]

func newListing(conn *bus.Conn, store view.Store[stockview.Row]) (*listing, error) {
	if store == nil {
		store = view.NewMemory[stockview.Row]()
	}
	return view.New(conn, inventory.StockEvents, store, stockview.Fold())
}

func (s *Service) list(ctx context.Context, req inventory.ListStock) (inventory.StockPage, error) {
	q := view.Query{List: stockview.BySKU, Limit: page.Size(req.Limit)}.HasPrefix(req.SKUPrefix)
	if below := req.AvailableBelow; below != nil {
		q.List, q.Until = stockview.ByAvailable, stockview.Left(*below)
	}
	if err := q.Accepts(req.Cursor); err != nil {
		return inventory.StockPage{}, err
	}
	if r := req.Reflects; r != nil {
		if _, err := s.warehouse.await(ctx, r.ID, r.Version); err != nil {
			return inventory.StockPage{}, err
		}
		if err := s.listed.Reflect(ctx, r.ID, r.Version); err != nil {
			return inventory.StockPage{}, err
		}
	}
	found, err := s.listed.Page(ctx, q, req.Cursor)
	if err != nil {
		return inventory.StockPage{}, err
	}
	answer := inventory.StockPage{NextCursor: found.Next, Behind: found.Behind, Halted: found.Halted != ""}
	for _, e := range found.Entries {
		answer.Stock = append(answer.Stock, inventory.Stock{
			SKU: e.Key, OnHand: e.Row.OnHand, Reserved: e.Row.Reserved, Available: e.Row.Available(), Version: e.Version,
		})
	}
	return answer, nil
}
