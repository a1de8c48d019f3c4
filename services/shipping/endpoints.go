package shipping

import (
	"context"
	"errors"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/failpoint"
	"github.com/ordermesh/ordermesh/bus/telemetry"
	"github.com/ordermesh/ordermesh/contracts/sandbox"
	"github.com/ordermesh/ordermesh/contracts/shipping"
	"github.com/ordermesh/ordermesh/services/shipping/domain"
)

// Command ids: each operation happens once per order.
const (
	commandCreate  = "shipping.create"
	commandCancel  = "shipping.cancel"
	commandDeliver = "shipping.deliver " // and the parcel
)

func (d *depot) create(ctx context.Context, r shipping.CreateShipment) (shipping.Shipment, error) {
	if done, ask, err := d.look(ctx, r.OrderID); err != nil || !ask {
		return done, err
	}
	parcel, err := d.carrier.Ship(ctx, sandbox.ShipParcel{
		OrderID: r.OrderID, To: r.ShipTo, Lines: r.Lines, TransitMS: d.settings().Transit.Milliseconds(),
	})
	switch {
	case errors.Is(err, sandbox.ErrCancelled): // a cancellation was here first
		return shipping.Shipment{}, shipping.ErrCancelled
	case errors.Is(err, sandbox.ErrDiffers):
		return shipping.Shipment{}, shipping.ErrDiffers
	case err != nil:
		return shipping.Shipment{}, foreign(err)
	}
	failpoint.Hit("shipping.handed_over")
	done, err := d.note(ctx, r.OrderID, commandCreate, domain.Create{ShipmentID: parcel.TrackingID, Due: parcel.Due})
	failpoint.Hit("shipping.created")
	return done, err
}

// look says whether the carrier is to be asked. An old memory of the shipment may say
// so, too: the carrier has one parcel per order. What is done already, or refused, is
// answered from a fresh read.
func (d *depot) look(ctx context.Context, orderID string) (shipping.Shipment, bool, error) {
	s, _, err := d.shipments.Peek(ctx, orderID)
	if err == nil {
		if ask, err := s.MayCreate(); ask && err == nil {
			return shipping.Shipment{}, true, nil
		}
	}
	s, version, err := d.shipments.Get(ctx, orderID)
	if err != nil {
		return shipping.Shipment{}, false, err
	}
	ask, err := s.MayCreate()
	return viewOf(orderID, s, version), ask, err
}

// cancel asks the carrier first, also when there is no shipment yet: from then on no
// parcel of the order is delivered.
func (d *depot) cancel(ctx context.Context, r shipping.ShipmentRef) (shipping.Shipment, error) {
	s, version, err := d.shipments.Get(ctx, r.OrderID)
	switch {
	case err != nil:
		return shipping.Shipment{}, err
	case s.Status == shipping.Cancelled:
		return viewOf(r.OrderID, s, version), nil
	case s.Status == shipping.Delivered:
		return shipping.Shipment{}, shipping.ErrDelivered
	}
	_, err = d.carrier.Cancel(ctx, r.OrderID)
	switch {
	case errors.Is(err, sandbox.ErrDelivered):
		return shipping.Shipment{}, shipping.ErrDelivered
	case err != nil:
		return shipping.Shipment{}, foreign(err)
	}
	failpoint.Hit("shipping.stopped")
	done, err := d.note(ctx, r.OrderID, commandCancel, domain.Cancel{})
	failpoint.Hit("shipping.cancelled")
	return done, err
}

// get knows no customers: who acts for one asks the orders service.
func (d *depot) get(ctx context.Context, r shipping.GetShipment) (shipping.Shipment, error) {
	if telemetry.ActorFrom(ctx).For != "" {
		return shipping.Shipment{}, shipping.ErrUnknown
	}
	return d.await(ctx, r.OrderID, r.MinVersion)
}

// await answers the shipment of an order once it has reached a version.
func (d *depot) await(ctx context.Context, orderID string, version uint64) (shipping.Shipment, error) {
	s, now, err := d.shipments.Await(ctx, orderID, version)
	if err == nil && now == 0 {
		err = shipping.ErrUnknown
	}
	return viewOf(orderID, s, now), err
}

// deliver is the carrier's callback. A delivery that overtakes the note of its shipment
// is not found; the carrier repeats it.
func (d *depot) deliver(ctx context.Context, r sandbox.ParcelDelivered) (sandbox.Receipt, error) {
	_, version, err := d.shipments.Do(ctx, r.OrderID, commandDeliver+r.TrackingID, domain.Deliver{ShipmentID: r.TrackingID})
	if err != nil {
		return sandbox.Receipt{}, err
	}
	failpoint.Hit("shipping.delivered")
	return sandbox.Receipt{OrderID: r.OrderID, Version: version}, nil
}

func (d *depot) note(ctx context.Context, orderID, commandID string, c domain.Command) (shipping.Shipment, error) {
	s, version, err := d.shipments.Do(ctx, orderID, commandID, c)
	if err != nil {
		return shipping.Shipment{}, err
	}
	return viewOf(orderID, s, version), nil
}

// foreign is an error of the carrier as this service answers it: a refusal that is not
// understood must not look like one of the shipment's own.
func foreign(err error) error {
	if contract.IsRefusal(err) {
		return contract.ErrUnavailable.Sayf("the carrier refuses: %v", err)
	}
	return err
}

func viewOf(orderID string, s domain.Shipment, version uint64) shipping.Shipment {
	return shipping.Shipment{OrderID: orderID, ShipmentID: s.ID, Status: s.Status, Due: s.Due.UTC(), Version: version}
}
