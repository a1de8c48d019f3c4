package payments

import (
	"context"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/telemetry"
	"github.com/ordermesh/ordermesh/bus/view"
	"github.com/ordermesh/ordermesh/contracts/page"
	"github.com/ordermesh/ordermesh/contracts/payments"
	paymentview "github.com/ordermesh/ordermesh/services/payments/view"
)

// listing keeps the view of payments up to date.
type listing = view.Projection[payments.Event, paymentview.Row]

func newListing(conn *bus.Conn, store view.Store[paymentview.Row]) (*listing, error) {
	if store == nil {
		store = view.NewMemory[paymentview.Row]()
	}
	return view.New(conn, payments.Events, store, paymentview.Fold())
}

// list knows no customers: who acts for one finds nothing.
func (s *Service) list(ctx context.Context, req payments.ListPayments) (payments.Payments, error) {
	if telemetry.ActorFrom(ctx).For != "" {
		return payments.Payments{}, nil
	}
	q := view.Query{List: paymentview.List(req.Status), Newest: true, Limit: page.Size(req.Limit)}
	if err := q.Accepts(req.Cursor); err != nil {
		return payments.Payments{}, err
	}
	if r := req.Reflects; r != nil {
		if _, err := s.desk.await(ctx, r.ID, r.Version); err != nil {
			return payments.Payments{}, err
		}
		if err := s.listed.Reflect(ctx, r.ID, r.Version); err != nil {
			return payments.Payments{}, err
		}
	}
	found, err := s.listed.Page(ctx, q, req.Cursor)
	if err != nil {
		return payments.Payments{}, err
	}
	answer := payments.Payments{NextCursor: found.Next, Behind: found.Behind, Halted: found.Halted != ""}
	for _, e := range found.Entries {
		answer.Payments = append(answer.Payments, viewOf(e.Key, e.Row.Payment, e.Version))
	}
	return answer, nil
}
