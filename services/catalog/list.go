package catalog

import (
	"context"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/view"
	"github.com/ordermesh/ordermesh/contracts/catalog"
	"github.com/ordermesh/ordermesh/contracts/page"
	catalogview "github.com/ordermesh/ordermesh/services/catalog/view"
)

// listing keeps the view of products up to date.
type listing = view.Projection[catalog.Event, catalogview.Row]

func newListing(conn *bus.Conn, store view.Store[catalogview.Row]) (*listing, error) {
	if store == nil {
		store = view.NewMemory[catalogview.Row]()
	}
	return view.New(conn, catalog.Events, store, catalogview.Fold())
}

func (s *Service) list(ctx context.Context, req catalog.ListProducts) (catalog.Products, error) {
	q := view.Query{List: listOf(req.Active), Limit: page.Size(req.Limit)}.HasPrefix(req.SKUPrefix)
	if err := q.Accepts(req.Cursor); err != nil {
		return catalog.Products{}, err
	}
	if r := req.Reflects; r != nil {
		if _, err := s.await(ctx, r.ID, r.Version); err != nil {
			return catalog.Products{}, err
		}
		if err := s.listed.Reflect(ctx, r.ID, r.Version); err != nil {
			return catalog.Products{}, err
		}
	}
	found, err := s.listed.Page(ctx, q, req.Cursor)
	if err != nil {
		return catalog.Products{}, err
	}
	list := catalog.Products{NextCursor: found.Next, Behind: found.Behind, Halted: found.Halted != ""}
	for _, e := range found.Entries {
		list.Products = append(list.Products, productView(e.Key, e.Row.Product, e.Version))
	}
	return list, nil
}

func listOf(active *bool) string {
	switch {
	case active == nil:
		return catalogview.All
	case *active:
		return catalogview.Active
	}
	return catalogview.Inactive
}
