package inventory

import (
	"context"
	"errors"

	"github.com/ordermesh/ordermesh/bus/failpoint"
	"github.com/ordermesh/ordermesh/contracts/inventory"
	"github.com/ordermesh/ordermesh/contracts/line"
	"github.com/ordermesh/ordermesh/services/inventory/domain"
)

// The commands of the protocol have no command id: each can be told from the state
// whether it is done, also after more commands than an entity remembers by id.

// hold holds every line of an open reservation, in the order of the SKUs.
func (w *warehouse) hold(ctx context.Context, orderID string, r domain.Reservation) (domain.Reservation, uint64, error) {
	for _, l := range line.Sorted(r.Lines) {
		_, _, err := w.stock.Do(ctx, l.SKU, "", domain.Take{OrderID: orderID, Quantity: l.Quantity})
		failpoint.Hit("inventory.line_held")
		switch {
		case errors.Is(err, inventory.ErrShort):
			return w.refuse(ctx, orderID, l.SKU)
		case errors.Is(err, inventory.ErrClosed):
			return w.keep(ctx, orderID) // it will say how it was closed
		case err != nil:
			return r, 0, err
		}
	}
	return w.keep(ctx, orderID)
}

// keep notes that every line is held.
func (w *warehouse) keep(ctx context.Context, orderID string) (domain.Reservation, uint64, error) {
	r, version, err := w.reservations.Do(ctx, orderID, "", domain.Keep{})
	failpoint.Hit("inventory.held")
	if err != nil && !errors.Is(err, inventory.ErrClosed) {
		return r, version, err
	}
	return r, version, w.yield(ctx, orderID, r)
}

// refuse notes that a SKU is short.
func (w *warehouse) refuse(ctx context.Context, orderID, sku string) (domain.Reservation, uint64, error) {
	r, version, err := w.reservations.Do(ctx, orderID, "", domain.Refuse{Short: sku})
	failpoint.Hit("inventory.refused")
	if err != nil {
		return r, version, err
	}
	return r, version, w.yield(ctx, orderID, r)
}

// yield gives back what this call holds, unless the reservation is held.
func (w *warehouse) yield(ctx context.Context, orderID string, r domain.Reservation) error {
	switch r.Status {
	case inventory.Open, inventory.Held:
		return nil
	case inventory.Refused, inventory.Released:
		return w.settle(ctx, orderID, r)
	case inventory.Committed, inventory.Returned:
		return w.surplus(ctx, orderID, r)
	}
	return nil
}

// settle makes the stock of every line follow a closed reservation.
func (w *warehouse) settle(ctx context.Context, orderID string, r domain.Reservation) error {
	for _, l := range line.Sorted(r.Lines) {
		var err error
		switch r.Status {
		case inventory.Refused:
			_, _, err = w.stock.Do(ctx, l.SKU, "", domain.Release{OrderID: orderID})
		case inventory.Released:
			_, _, err = w.stock.Do(ctx, l.SKU, "", domain.Release{OrderID: orderID, Mark: true})
		case inventory.Committed:
			_, _, err = w.stock.Do(ctx, l.SKU, "", domain.Sell{OrderID: orderID})
		case inventory.Returned:
			err = w.restock(ctx, orderID, l)
		case inventory.Open, inventory.Held:
		}
		if err != nil {
			return err
		}
		failpoint.Hit("inventory.line_settled")
	}
	return nil
}

// restock puts a line back on the shelf. If the stock has forgotten the sale, its
// history knows; two callers that ask it at the same time do not restock twice,
// because the first one's mark is fresh.
func (w *warehouse) restock(ctx context.Context, orderID string, l line.Line) error {
	c := domain.Restock{OrderID: orderID, Quantity: l.Quantity}
	_, _, err := w.stock.Do(ctx, l.SKU, "", c)
	if !errors.Is(err, domain.ErrForgotten) {
		return err
	}
	sold, back, err := w.sales(ctx, orderID, l.SKU)
	if err != nil || !sold || back {
		return err
	}
	c.Sold = true
	_, _, err = w.stock.Do(ctx, l.SKU, "", c)
	return err
}

// surplus gives back what this call holds although the order bought it before: it was
// slower than the rest of the checkout, and the stock had forgotten the sale.
// A line that is not sold yet is left to the commit that is selling it.
func (w *warehouse) surplus(ctx context.Context, orderID string, r domain.Reservation) error {
	for _, l := range line.Sorted(r.Lines) {
		sold, _, err := w.sales(ctx, orderID, l.SKU)
		if err != nil {
			return err
		}
		if r.Status == inventory.Committed && !sold {
			continue
		}
		if _, _, err := w.stock.Do(ctx, l.SKU, "", domain.Release{OrderID: orderID}); err != nil {
			return err
		}
	}
	return nil
}

// sales reads from a SKU's history whether it was sold to an order and put back on the
// shelf. Nothing was sold before the reservation was committed, so the history is read
// from there on, and not from its beginning, which may be millions of orders ago.
func (w *warehouse) sales(ctx context.Context, orderID, sku string) (sold, back bool, err error) {
	since, err := w.committed(ctx, orderID)
	if err != nil || since == 0 {
		return false, false, err
	}
	history, err := w.stock.HistoryAfter(ctx, sku, since)
	for _, h := range history {
		switch e := h.Data.(type) {
		case inventory.StockSold:
			sold = sold || e.OrderID == orderID
		case inventory.StockRestocked:
			back = back || e.OrderID == orderID
		case inventory.StockAdjusted, inventory.StockHeld, inventory.StockHoldReleased:
		}
	}
	return sold, back, err
}

// committed is where in the stream the order's reservation was committed, 0 for
// nowhere.
func (w *warehouse) committed(ctx context.Context, orderID string) (uint64, error) {
	history, err := w.reservations.History(ctx, orderID)
	for _, h := range history {
		if _, ok := h.Data.(inventory.ReservationCommitted); ok {
			return h.Sequence, err
		}
	}
	return 0, err
}
