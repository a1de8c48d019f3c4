package orders

import (
	"context"
	"time"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/event"
	"github.com/ordermesh/ordermesh/bus/telemetry"
	"github.com/ordermesh/ordermesh/bus/view"
	"github.com/ordermesh/ordermesh/contracts/money"
	"github.com/ordermesh/ordermesh/contracts/orders"
	"github.com/ordermesh/ordermesh/contracts/page"
)

// listing is the view behind the list. Every order is in four lists: all orders, and
// those of its customer, each also by status.
type listing = view.Projection[orders.Event, row]

type row struct {
	first    uint64 // sequence of the order's first message: the order of the lists
	customer string
	status   orders.Status
	total    money.Amount
	placed   time.Time
}

func newListing(conn *bus.Conn) (*listing, error) {
	return view.New(conn, orders.Events, view.NewMemory[row](), view.Fold[orders.Event, row]{Apply: listed, Lists: lists})
}

func listed(r row, e event.Event[orders.Event]) row {
	if r.first == 0 {
		r.first = e.Sequence
	}
	o := fold(orders.Order{CustomerID: r.customer, Status: r.status, Total: r.total, PlacedAt: r.placed}, e.Data)
	return row{first: r.first, customer: o.CustomerID, status: o.Status, total: o.Total, placed: o.PlacedAt}
}

func lists(r row) []view.Place {
	order := view.Ascending(r.first)
	return []view.Place{
		{List: listName("", ""), Order: order},
		{List: listName("", r.status), Order: order},
		{List: listName(r.customer, ""), Order: order},
		{List: listName(r.customer, r.status), Order: order},
	}
}

// listName is the list of a customer's orders with a status; "" stands for all.
func listName(customer string, status orders.Status) string { return customer + "/" + string(status) }

// list answers a page of orders, the newest first. Who acts for a customer sees that
// customer's orders only, and nothing of another's.
func (s *Service) list(ctx context.Context, req orders.ListOrders) (orders.Orders, error) {
	if actor := telemetry.ActorFrom(ctx); actor.For != "" {
		if req.CustomerID != "" && req.CustomerID != actor.For {
			return orders.Orders{}, nil
		}
		req.CustomerID = actor.For
	}
	found, err := s.listed.Page(ctx, view.Query{
		List: listName(req.CustomerID, req.Status), Newest: true, Limit: page.Size(req.Limit),
	}, req.Cursor)
	if err != nil {
		return orders.Orders{}, err
	}
	answer := orders.Orders{NextCursor: found.Next, Behind: found.Behind}
	for _, e := range found.Entries {
		answer.Orders = append(answer.Orders, orders.Summary{
			OrderID: e.Key, CustomerID: e.Row.customer, Status: e.Row.status, Total: e.Row.total,
			PlacedAt: e.Row.placed, Version: e.Version,
		})
	}
	return answer, nil
}
