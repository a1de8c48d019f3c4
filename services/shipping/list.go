package shipping

import (
	"context"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/telemetry"
	"github.com/ordermesh/ordermesh/bus/view"
	"github.com/ordermesh/ordermesh/contracts/page"
	"github.com/ordermesh/ordermesh/contracts/shipping"
	shipmentview "github.com/ordermesh/ordermesh/services/shipping/view"
)

// listing keeps the view of shipments up to date.
type listing = view.Projection[shipping.Event, shipmentview.Row]

func newListing(conn *bus.Conn, store view.Store[shipmentview.Row]) (*listing, error) {
	if store == nil {
		store = view.NewMemory[shipmentview.Row]()
	}
	return view.New(conn, shipping.Events, store, shipmentview.Fold())
}

// list knows no customers: who acts for one finds nothing.
func (s *Service) list(ctx context.Context, req shipping.ListShipments) (shipping.Shipments, error) {
	if telemetry.ActorFrom(ctx).For != "" {
		return shipping.Shipments{}, nil
	}
	q := view.Query{List: shipmentview.List(req.Status), Newest: true, Limit: page.Size(req.Limit)}
	if err := q.Accepts(req.Cursor); err != nil {
		return shipping.Shipments{}, err
	}
	if r := req.Reflects; r != nil {
		if _, err := s.depot.await(ctx, r.ID, r.Version); err != nil {
			return shipping.Shipments{}, err
		}
		if err := s.listed.Reflect(ctx, r.ID, r.Version); err != nil {
			return shipping.Shipments{}, err
		}
	}
	found, err := s.listed.Page(ctx, q, req.Cursor)
	if err != nil {
		return shipping.Shipments{}, err
	}
	answer := shipping.Shipments{NextCursor: found.Next, Behind: found.Behind, Halted: found.Halted != ""}
	for _, e := range found.Entries {
		answer.Shipments = append(answer.Shipments, viewOf(e.Key, e.Row.Shipment, e.Version))
	}
	return answer, nil
}
