package orders

import (
	"context"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/telemetry"
	"github.com/ordermesh/ordermesh/bus/view"
	"github.com/ordermesh/ordermesh/contracts/orders"
	"github.com/ordermesh/ordermesh/contracts/page"
	ordersview "github.com/ordermesh/ordermesh/services/orders/view"
)

// listing keeps the view of orders up to date.
type listing = view.Projection[orders.Event, ordersview.Row]

func newListing(conn *bus.Conn, store ordersview.Store) (*listing, error) {
	return view.New(conn, orders.Events, store, ordersview.Fold())
}

// own narrows a filter by customer to the customer that the caller acts for, if any.
// It is not possible when the filter names another: then nothing is found.
func own(ctx context.Context, customer string) (narrowed string, possible bool) {
	actor := telemetry.ActorFrom(ctx)
	switch {
	case actor.For == "" || actor.For == customer:
		return customer, true
	case customer == "":
		return actor.For, true
	}
	return "", false
}

// list answers a page of orders. Who acts for a customer sees that customer's orders
// only, and nothing of another's.
func (s *Service) list(ctx context.Context, req orders.ListOrders) (orders.Orders, error) {
	customer, possible := own(ctx, req.CustomerID)
	if !possible {
		return orders.Orders{}, nil
	}
	q := query(req, customer)
	if err := q.Accepts(req.Cursor); err != nil {
		return orders.Orders{}, err
	}
	if err := s.reflects(ctx, req.Reflects); err != nil {
		return orders.Orders{}, err
	}
	found, err := s.listed.Page(ctx, q, req.Cursor)
	if err != nil {
		return orders.Orders{}, err
	}
	answer := orders.Orders{NextCursor: found.Next, Behind: found.Behind, Halted: found.Halted != ""}
	for _, e := range found.Entries {
		answer.Orders = append(answer.Orders, orders.Summary{
			OrderID: e.Key, CustomerID: e.Row.Customer, Status: e.Row.Status, Total: e.Row.Total,
			PlacedAt: e.Row.Placed.UTC(), Version: e.Version,
		})
	}
	return answer, nil
}

// query is what a request asks of the view.
func query(req orders.ListOrders, customer string) view.Query {
	q := view.Query{Limit: page.Size(req.Limit)}
	if req.OrderIDPrefix != "" {
		q.List = ordersview.List{ByID: true, Customer: customer}.Name()
		return q.HasPrefix(req.OrderIDPrefix)
	}
	q.List, q.Newest = ordersview.List{Customer: customer, Status: req.Status}.Name(), true
	if !req.From.IsZero() {
		q.From = view.Moment(req.From)
	}
	if !req.Until.IsZero() {
		q.Until = view.Moment(req.Until)
	}
	return q
}

// reflects returns once the view has seen an order at a version. An order of another
// customer than the one the caller acts for does not exist for that caller.
func (s *Service) reflects(ctx context.Context, r *page.Reflects) error {
	if r == nil {
		return nil
	}
	if err := s.await(ctx, r.ID, r.Version); err != nil {
		return err
	}
	return s.listed.Reflect(ctx, r.ID, r.Version)
}
