package shipping_test

import (
	"errors"
	"testing"
	"time"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/contracts/golden"
	"github.com/ordermesh/ordermesh/contracts/line"
	"github.com/ordermesh/ordermesh/contracts/page"
	"github.com/ordermesh/ordermesh/contracts/postal"
	"github.com/ordermesh/ordermesh/contracts/sandbox"
	"github.com/ordermesh/ordermesh/contracts/shipping"
)

const order = "k3v5w2q7a4m6x2c3z5y7b2d4f6"

var at = time.Date(2026, 11, 24, 9, 30, 0, 0, time.UTC)

func create() shipping.CreateShipment {
	return shipping.CreateShipment{
		OrderID: order, Lines: []line.Line{{SKU: "TEA-001", Quantity: 2}},
		ShipTo: postal.Address{Name: "Ada", Line1: "1 Main St", Line2: "c/o Byron", City: "Berlin", PostalCode: "10115", Country: "DE"},
	}
}

func TestContract(t *testing.T) {
	t.Parallel()
	shipment := shipping.Shipment{OrderID: order, ShipmentID: "tr_7", Status: shipping.Created, Due: at, Version: 1}
	s := golden.New(t)
	golden.Method(s, shipping.Create, create(), shipment)
	golden.Method(s, shipping.Cancel, shipping.ShipmentRef{OrderID: order}, shipment)
	golden.Method(s, shipping.Get, shipping.GetShipment{OrderID: order, MinVersion: 1}, shipment)
	golden.Method(s, shipping.List, shipping.ListShipments{
		Status: shipping.Delivered, Reflects: &page.Reflects{ID: order, Version: 1}, Limit: 20, Cursor: "MTIz",
	}, shipping.Shipments{Shipments: []shipping.Shipment{shipment}, NextCursor: "MTIz", Behind: 2})
	golden.Method(s, shipping.Track, shipping.ShipmentRef{OrderID: order}, shipment)
	golden.Method(s, shipping.Parcels, shipping.ListParcels{OrderID: order, Limit: 20, Cursor: "7"}, shipping.ParcelPage{
		Parcels: []shipping.Parcel{{OrderID: order, ShipmentID: "tr_7", Status: shipping.Created, Due: at}}, NextCursor: "8",
	})
	golden.Method(s, shipping.Deliver, sandbox.ParcelDelivered{OrderID: order, TrackingID: "tr_7"}, sandbox.Receipt{OrderID: order, Version: 2})
	for _, e := range []shipping.Event{
		shipping.ShipmentCreated{ShipmentID: "tr_7", Due: at},
		shipping.ShipmentCancelled{},
		shipping.ShipmentDelivered{ShipmentID: "tr_7"},
	} {
		golden.Event(s, shipping.Events, e)
	}
	s.Complete(shipping.Descriptor)
}

func TestValidate(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*shipping.CreateShipment)
		code   contract.Code
		field  string
	}{
		"no order":        {func(r *shipping.CreateShipment) { r.OrderID = "" }, contract.Invalid, "/order_id"},
		"no city":         {func(r *shipping.CreateShipment) { r.ShipTo.City = "" }, contract.Invalid, "/ship_to/city"},
		"unknown country": {func(r *shipping.CreateShipment) { r.ShipTo.Country = "QQ" }, contract.Unprocessable, "/ship_to/country"},
		"no lines":        {func(r *shipping.CreateShipment) { r.Lines = nil }, contract.Unprocessable, "/lines"},
	} {
		r := create()
		c.change(&r)
		var e *contract.Error
		if err := r.Validate(); !errors.As(err, &e) || e.Code != c.code || e.Field != c.field {
			t.Errorf("%s: %v, want %v at %s", name, err, c.code, c.field)
		}
	}
}
