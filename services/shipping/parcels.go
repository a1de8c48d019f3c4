package shipping

import (
	"context"
	"errors"
	"strconv"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/telemetry"
	"github.com/ordermesh/ordermesh/contracts/page"
	"github.com/ordermesh/ordermesh/contracts/sandbox"
	"github.com/ordermesh/ordermesh/contracts/shipping"
	"github.com/ordermesh/ordermesh/services/shipping/domain"
)

// track asks the carrier and notes a delivery of which it has not told. Otherwise it
// answers what this service knows.
func (d *depot) track(ctx context.Context, r shipping.ShipmentRef) (shipping.Shipment, error) {
	known, err := d.get(ctx, shipping.GetShipment{OrderID: r.OrderID})
	if err != nil || known.Status != shipping.Created {
		return known, err
	}
	parcel, err := d.carrier.Query(ctx, r.OrderID)
	switch {
	case errors.Is(err, sandbox.ErrNoParcel):
		return known, nil
	case err != nil:
		return shipping.Shipment{}, foreign(err)
	case parcel.Status != sandbox.ParcelDone:
		return known, nil
	}
	return d.note(ctx, r.OrderID, commandDeliver+parcel.TrackingID, domain.Deliver{ShipmentID: parcel.TrackingID})
}

// parcels answers from the carrier's book alone.
func (d *depot) parcels(ctx context.Context, r shipping.ListParcels) (shipping.ParcelPage, error) {
	if telemetry.ActorFrom(ctx).For != "" {
		return shipping.ParcelPage{}, nil
	}
	if r.OrderID != "" {
		return d.parcelOf(ctx, r.OrderID)
	}
	var after uint64
	if r.Cursor != "" {
		var err error
		if after, err = strconv.ParseUint(r.Cursor, 10, placeBits); err != nil {
			return shipping.ParcelPage{}, contract.ErrInvalid.At("/cursor").Sayf("the cursor is none that this list has given")
		}
	}
	list, err := d.carrier.List(ctx, sandbox.BookPage{After: after, Limit: page.Size(r.Limit)})
	if err != nil {
		return shipping.ParcelPage{}, foreign(err)
	}
	var answer shipping.ParcelPage
	if list.Next > 0 {
		answer.NextCursor = strconv.FormatUint(list.Next, 10)
	}
	for _, p := range list.Parcels {
		answer.Parcels = append(answer.Parcels, booked(p.OrderID, p.Parcel))
	}
	return answer, nil
}

// placeBits is how large a place in a book may be: what JSON carries everywhere.
const placeBits = 53

// parcelOf is the page of the one parcel that an order can have.
func (d *depot) parcelOf(ctx context.Context, orderID string) (shipping.ParcelPage, error) {
	parcel, err := d.carrier.Query(ctx, orderID)
	switch {
	case errors.Is(err, sandbox.ErrNoParcel):
		return shipping.ParcelPage{}, nil
	case err != nil:
		return shipping.ParcelPage{}, foreign(err)
	}
	return shipping.ParcelPage{Parcels: []shipping.Parcel{booked(orderID, parcel)}}, nil
}

// booked is a parcel of the carrier in this service's words.
func booked(orderID string, p sandbox.Parcel) shipping.Parcel {
	status := shipping.Status(p.Status)
	if p.Status == sandbox.ParcelInTransit {
		status = shipping.Created
	}
	return shipping.Parcel{OrderID: orderID, ShipmentID: p.TrackingID, Status: status, Due: p.Due}
}
