// Package domain decides what may happen to a shipment. It is pure: no clock, no
// random numbers, no input or output.
package domain

import (
	"time"

	"github.com/ordermesh/ordermesh/contracts/shipping"
)

// Schema is the number of Shipment's layout as a snapshot.
const Schema = 2

// Shipment is a shipment; the zero value does not exist.
type Shipment struct {
	Status shipping.Status `json:"s,omitzero"`
	ID     string          `json:"i,omitzero"`
	Due    time.Time       `json:"d,omitzero"` // when the carrier means to deliver
}

// Command is a command on a shipment.
//
//sumtype:decl
type Command interface{ shipmentCommand() }

// Create notes that the carrier has taken the parcel on.
type Create struct {
	ShipmentID string
	Due        time.Time
}

// Cancel notes that the carrier has stopped the parcel. Without a shipment it makes
// one that is cancelled, so that a parcel that comes too late is refused.
type Cancel struct{}

// Deliver notes that the carrier has delivered the parcel.
type Deliver struct{ ShipmentID string }

func (Create) shipmentCommand()  {}
func (Cancel) shipmentCommand()  {}
func (Deliver) shipmentCommand() {}

// Decide returns the events of a command, nothing if there is nothing to do, or the
// reason why not.
func Decide(s Shipment, c Command) ([]shipping.Event, error) {
	switch c := c.(type) {
	case Create:
		return s.create(c)
	case Cancel:
		return s.cancel()
	case Deliver:
		return s.deliver(c)
	}
	return nil, nil
}

// MayCreate reports whether the carrier is to be asked; false without an error means
// that it has the parcel.
func (s Shipment) MayCreate() (bool, error) {
	switch s.Status {
	case "":
		return true, nil
	case shipping.Cancelled:
		return false, shipping.ErrCancelled
	case shipping.Created, shipping.Delivered:
		return false, nil
	}
	return false, nil
}

func (s Shipment) create(c Create) ([]shipping.Event, error) {
	ask, err := s.MayCreate()
	switch {
	case err != nil:
		return nil, err
	case ask:
		return []shipping.Event{shipping.ShipmentCreated(c)}, nil
	case s.ID != c.ShipmentID:
		return nil, shipping.ErrDiffers
	}
	return nil, nil
}

func (s Shipment) cancel() ([]shipping.Event, error) {
	switch s.Status {
	case "", shipping.Created:
		return []shipping.Event{shipping.ShipmentCancelled{}}, nil
	case shipping.Cancelled:
		return nil, nil
	case shipping.Delivered:
		return nil, shipping.ErrDelivered
	}
	return nil, nil
}

// deliver refuses a delivery that overtakes the note that the parcel was taken on;
// the carrier repeats its call until it is answered.
func (s Shipment) deliver(c Deliver) ([]shipping.Event, error) {
	switch {
	case s.Status == shipping.Cancelled:
		return nil, shipping.ErrCancelled
	case s.Status == "":
		return nil, shipping.ErrUnknown
	case s.ID != c.ShipmentID:
		return nil, shipping.ErrDiffers
	case s.Status == shipping.Delivered:
		return nil, nil
	}
	return []shipping.Event{shipping.ShipmentDelivered(c)}, nil
}

// Evolve returns the shipment after an event.
func Evolve(s Shipment, e shipping.Event) Shipment {
	switch e := e.(type) {
	case shipping.ShipmentCreated:
		return Shipment{Status: shipping.Created, ID: e.ShipmentID, Due: e.Due}
	case shipping.ShipmentCancelled:
		s.Status = shipping.Cancelled
	case shipping.ShipmentDelivered:
		s.Status = shipping.Delivered
	}
	return s
}
