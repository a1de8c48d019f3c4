package orders

import (
	"context"

	"github.com/ordermesh/ordermesh/bus/rpc"
	"github.com/ordermesh/ordermesh/bus/telemetry"
	"github.com/ordermesh/ordermesh/bus/view"
	"github.com/ordermesh/ordermesh/contracts/page"
	"github.com/ordermesh/ordermesh/contracts/payments"
	"github.com/ordermesh/ordermesh/contracts/shipping"
	"github.com/ordermesh/ordermesh/services/orders/domain"
	ordersview "github.com/ordermesh/ordermesh/services/orders/view"
)

// ledgers are the books of the firms, reached through payments and shipping, and this
// service's own orders.
type ledgers struct {
	orders *entity
	listed *listing
	client *rpc.Client
}

// page implements books. The list of orders may be behind by the newest ones: they are
// for the next time.
func (l *ledgers) page(ctx context.Context, phase reconcilePhase, cursor string) (bookPage, error) {
	var p bookPage
	switch phase {
	case phaseCharges:
		list, err := rpc.Call(ctx, l.client, payments.Charges, payments.ListCharges{Limit: page.MaxLimit, Cursor: cursor})
		if err != nil {
			return p, err
		}
		for _, c := range list.Charges {
			e := entry{OrderID: c.OrderID}
			if statusOf(c) != domain.Dropped {
				e.PaymentID = c.PaymentID
			}
			p.entries = append(p.entries, e)
		}
		p.next = list.NextCursor
	case phaseParcels:
		list, err := rpc.Call(ctx, l.client, shipping.Parcels, shipping.ListParcels{Limit: page.MaxLimit, Cursor: cursor})
		if err != nil {
			return p, err
		}
		for _, c := range list.Parcels {
			p.entries = append(p.entries, entry{OrderID: c.OrderID})
		}
		p.next = list.NextCursor
	case phaseOrders:
		list, err := l.listed.Page(ctx, view.Query{List: ordersview.List{}.Name(), Limit: page.MaxLimit}, cursor)
		if err != nil {
			return p, err
		}
		for _, e := range list.Entries {
			p.entries = append(p.entries, entry{OrderID: e.Key})
		}
		p.next = list.Next
	}
	return p, nil
}

// compare implements books.
func (l *ledgers) compare(ctx context.Context, e entry) ([]difference, error) {
	charge, paymentID, err := l.charge(ctx, e.OrderID)
	if err != nil {
		return nil, err
	}
	parcel, err := l.parcel(ctx, e.OrderID)
	if err != nil {
		return nil, err
	}
	o, _, err := l.orders.Get(ctx, e.OrderID) // last: an order says what has happened before
	if err != nil {
		return nil, err
	}
	var list []difference
	if e.PaymentID != "" && e.PaymentID != paymentID {
		list = append(list, difference{OrderID: e.OrderID, Book: "provider", Text: "a charge beside the order's own: " + e.PaymentID})
	}
	if text := o.ChargeDiffers(charge); text != "" {
		list = append(list, difference{OrderID: e.OrderID, Book: "provider", Text: text})
	}
	if text := o.ParcelDiffers(parcel); text != "" {
		list = append(list, difference{OrderID: e.OrderID, Book: "carrier", Text: text})
	}
	return list, nil
}

// charge asks for the order's own charge: an order has one.
func (l *ledgers) charge(ctx context.Context, orderID string) (domain.Booked, string, error) {
	list, err := rpc.Call(ctx, l.client, payments.Charges, payments.ListCharges{OrderID: orderID})
	if err != nil || len(list.Charges) == 0 {
		return domain.Booked{}, "", err
	}
	c := list.Charges[0]
	return domain.Booked{Status: statusOf(c), Amount: c.Amount, Refunded: c.Refunded.Minor}, c.PaymentID, nil
}

func statusOf(c payments.Charge) domain.BookedStatus {
	switch c.Status {
	case payments.Authorized:
		return domain.Open
	case payments.Captured, payments.Refunded:
		return domain.Complete
	case payments.Declined, payments.Voided:
	}
	return domain.Dropped
}

func (l *ledgers) parcel(ctx context.Context, orderID string) (domain.Booked, error) {
	list, err := rpc.Call(ctx, l.client, shipping.Parcels, shipping.ListParcels{OrderID: orderID})
	if err != nil || len(list.Parcels) == 0 {
		return domain.Booked{}, err
	}
	switch list.Parcels[0].Status {
	case shipping.Created:
		return domain.Booked{Status: domain.Open}, nil
	case shipping.Delivered:
		return domain.Booked{Status: domain.Complete}, nil
	case shipping.Cancelled:
	}
	return domain.Booked{Status: domain.Dropped}, nil
}

// reports tells what a reconciliation found, by a log line each and a metric.
type reports struct {
	telemetry *telemetry.Telemetry
	found     gauge
}

func newReports(t *telemetry.Telemetry) *reports {
	return &reports{t, t.Gauge("orders_reconcile_differences", "What the last reconciliation found to differ from the firms' books.").WithLabelValues()}
}

// loggedDifferences bounds the log lines of one reconciliation; its result has all.
const loggedDifferences = 20

// reconciled implements reporter.
func (r *reports) reconciled(ctx context.Context, found reconciled) {
	r.found.Set(float64(len(found.Differences) + found.Unchecked))
	for _, d := range found.Differences[:min(len(found.Differences), loggedDifferences)] {
		r.telemetry.Logger.ErrorContext(ctx, "an order differs from an outside book",
			telemetry.KeyOrder, d.OrderID, keyBook, d.Book, telemetry.KeyReason, d.Text)
	}
	r.telemetry.Logger.InfoContext(ctx, "orders are reconciled with the outside books",
		telemetry.KeyCount, found.Compared, keyDifferences, len(found.Differences)+found.Unchecked)
}

// Attributes of log lines of this service alone.
const (
	keyBook        = "book"
	keyDifferences = "differences"
)
