package orders

import (
	"cmp"
	"context"
	"time"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/contracts/orders"
	ordersview "github.com/ordermesh/ordermesh/services/orders/view"
)

// report answers from the view. Who acts for a customer gets a report about that
// customer's orders only, and an empty one about another's.
func (s *Service) report(ctx context.Context, req orders.ReportOrders) (orders.Figures, error) {
	now := time.Now().UTC()
	from, until, err := req.Range(now)
	if err != nil {
		return orders.Figures{}, err
	}
	customer, possible := own(ctx, req.CustomerID)
	if !possible {
		customer = nobody
	}
	if err := s.reflects(ctx, req.Reflects); err != nil {
		return orders.Figures{}, err
	}
	status := s.listed.Status()
	if !status.Known {
		return orders.Figures{}, errStarting
	}
	figures, err := s.all.Report(ctx, ordersview.Question{
		Customer: customer, From: from.UTC().Truncate(time.Microsecond), Until: until.UTC().Truncate(time.Microsecond), Now: now,
		Top: cmp.Or(req.Top, orders.DefaultTop),
	})
	if err != nil {
		return orders.Figures{}, s.listed.Unreadable(ctx, err)
	}
	if len(figures.Revenue) > orders.MaxRevenues {
		return orders.Figures{}, orders.ErrReportTooLarge.At("/until")
	}
	figures.Behind, figures.Halted = status.Behind, status.Halted != ""
	return figures, nil
}

// nobody is no customer's id.
const nobody = " "

// errStarting is answered before the view knows how far behind it is.
var errStarting = contract.ErrUnavailable.Sayf("the report is not ready yet; try again")
