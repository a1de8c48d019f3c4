package inventory

import (
	"context"

	"github.com/ordermesh/ordermesh/bus/failpoint"
	"github.com/ordermesh/ordermesh/bus/telemetry"
	"github.com/ordermesh/ordermesh/contracts/idem"
	"github.com/ordermesh/ordermesh/contracts/inventory"
	"github.com/ordermesh/ordermesh/services/inventory/domain"
)

func (w *warehouse) adjust(ctx context.Context, req inventory.AdjustStock) (inventory.Stock, error) {
	id, err := idem.Command(telemetry.ActorFrom(ctx), inventory.Adjust.Info(), telemetry.CommandFrom(ctx), req)
	if err != nil {
		return inventory.Stock{}, err
	}
	s, version, err := w.stock.Do(ctx, req.SKU, id, domain.Adjust{Delta: req.Delta, Reason: req.Reason})
	if err != nil {
		return inventory.Stock{}, err
	}
	return stockView(req.SKU, s, version), nil
}

func (s *Service) adjust(ctx context.Context, req inventory.AdjustStock) (inventory.Stock, error) {
	stock, err := s.warehouse.adjust(ctx, req)
	if err == nil {
		s.reading.Changed(req.SKU, stock.Version) // who asks this instance next reads what was adjusted
	}
	return stock, err
}

func (s *Service) get(ctx context.Context, req inventory.GetStock) (inventory.Stock, error) {
	read := s.reading.Get
	if req.Current {
		read = s.reading.Current
	}
	stock, version, err := read(ctx, req.SKU)
	switch {
	case err != nil:
		return inventory.Stock{}, err
	case version < req.MinVersion:
		stock, err = s.warehouse.await(ctx, req.SKU, req.MinVersion)
		s.reading.Changed(req.SKU, stock.Version)
		return stock, err
	case version == 0:
		return inventory.Stock{}, inventory.ErrNoStock
	}
	return stock, nil
}

// await answers the stock of a SKU once it has reached a version.
func (w *warehouse) await(ctx context.Context, sku string, version uint64) (inventory.Stock, error) {
	s, now, err := w.stock.Await(ctx, sku, version)
	switch {
	case err != nil:
		return inventory.Stock{}, err
	case now == 0:
		return inventory.Stock{}, inventory.ErrNoStock
	}
	return stockView(sku, s, now), nil
}

func stockView(sku string, s domain.Stock, version uint64) inventory.Stock {
	return inventory.Stock{SKU: sku, OnHand: s.OnHand, Reserved: s.Reserved, Available: s.Available(), Version: version}
}

// reserve opens the reservation and holds its lines. On a reservation that is closed
// it makes sure that the stock has followed, and says how it was closed.
func (w *warehouse) reserve(ctx context.Context, req inventory.ReserveLines) (inventory.Reservation, error) {
	r, version, err := w.reservations.Do(ctx, req.OrderID, "", domain.Open{Lines: req.Lines})
	if err != nil {
		return inventory.Reservation{}, err
	}
	failpoint.Hit("inventory.opened")
	switch {
	case r.Status == inventory.Open:
		r, version, err = w.hold(ctx, req.OrderID, r)
	case r.Closed():
		err = w.settle(ctx, req.OrderID, r)
	}
	if err != nil {
		return inventory.Reservation{}, err
	}
	return reservationView(req.OrderID, r, version), nil
}

func (w *warehouse) release(ctx context.Context, req inventory.ReservationRef) (inventory.Reservation, error) {
	return w.close(ctx, req.OrderID, domain.Close{})
}

func (w *warehouse) commit(ctx context.Context, req inventory.ReservationRef) (inventory.Reservation, error) {
	return w.close(ctx, req.OrderID, domain.Commit{})
}

// close decides at the reservation and then makes the stock follow.
func (w *warehouse) close(ctx context.Context, orderID string, c domain.ReservationCommand) (inventory.Reservation, error) {
	r, version, err := w.reservations.Do(ctx, orderID, "", c)
	if err != nil {
		return inventory.Reservation{}, err
	}
	failpoint.Hit("inventory.closed")
	if err := w.settle(ctx, orderID, r); err != nil {
		return inventory.Reservation{}, err
	}
	return reservationView(orderID, r, version), nil
}

func reservationView(orderID string, r domain.Reservation, version uint64) inventory.Reservation {
	return inventory.Reservation{OrderID: orderID, Status: r.Status, Lines: r.Lines, Short: r.Short, Version: version}
}
