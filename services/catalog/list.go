package catalog

import (
	"context"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/event"
	"github.com/ordermesh/ordermesh/bus/view"
	"github.com/ordermesh/ordermesh/contracts/catalog"
	"github.com/ordermesh/ordermesh/contracts/page"
	"github.com/ordermesh/ordermesh/services/catalog/domain"
)

// listing is the view behind the list: every product, in the order of the SKUs.
type listing = view.Projection[catalog.Event, row]

type row struct {
	sku     string
	product domain.Product
}

const everyProduct = "products"

func newListing(conn *bus.Conn) (*listing, error) {
	return view.New(conn, catalog.Events, view.NewMemory[row](), view.Fold[catalog.Event, row]{
		Apply: func(r row, e event.Event[catalog.Event]) row {
			return row{sku: e.ID, product: domain.Evolve(r.product, e.Data)}
		},
		Lists: func(r row) []view.Place { return []view.Place{{List: everyProduct, Order: r.sku}} },
	})
}

func (s *Service) list(ctx context.Context, req catalog.ListProducts) (catalog.Products, error) {
	found, err := s.listed.Page(ctx, view.Query{List: everyProduct, Limit: page.Size(req.Limit)}, req.Cursor)
	if err != nil {
		return catalog.Products{}, err
	}
	list := catalog.Products{NextCursor: found.Next, Behind: found.Behind}
	for _, e := range found.Entries {
		list.Products = append(list.Products, productView(e.Key, e.Row.product, e.Version))
	}
	return list, nil
}
