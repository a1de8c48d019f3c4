package domain

import (
	"slices"

	"github.com/ordermesh/ordermesh/contracts/inventory"
	"github.com/ordermesh/ordermesh/contracts/line"
)

// ReservationSchema is the number of Reservation's layout as a snapshot.
const ReservationSchema = 1

// Reservation is what decisions need of an order's reservation; the zero value does
// not exist. It alone says whether the order holds, has bought or gives back: the
// stock follows.
type Reservation struct {
	Status inventory.Status `json:"s,omitzero"`
	Lines  []line.Line      `json:"l,omitzero"`
	Short  string           `json:"x,omitzero"`
}

// Closed reports whether nothing will be held for the order any more.
func (r Reservation) Closed() bool {
	switch r.Status {
	case "", inventory.Open, inventory.Held:
		return false
	case inventory.Refused, inventory.Released, inventory.Committed, inventory.Returned:
		return true
	}
	return true
}

// ReservationCommand is a command on the reservation of one order.
//
//sumtype:decl
type ReservationCommand interface{ reservationCommand() }

// Open says which lines are going to be held. A reservation that is there already,
// whatever its state, is left as it is.
type Open struct{ Lines []line.Line }

// Keep says that every line is held.
type Keep struct{}

// Refuse says that a SKU was short. It does nothing unless the reservation is open.
type Refuse struct{ Short string }

// Close gives back what is held or was sold. Without a reservation it makes one that
// is closed, so that a reservation that comes too late is refused.
type Close struct{}

// Commit sells what is held.
type Commit struct{}

func (Open) reservationCommand()   {}
func (Keep) reservationCommand()   {}
func (Refuse) reservationCommand() {}
func (Close) reservationCommand()  {}
func (Commit) reservationCommand() {}

// DecideReservation returns the events of a command, nothing if there is nothing to
// do, or the reason why not.
func DecideReservation(r Reservation, c ReservationCommand) ([]inventory.ReservationEvent, error) {
	switch c := c.(type) {
	case Open:
		return r.open(c)
	case Keep:
		return r.hold()
	case Refuse:
		if r.Status == inventory.Open {
			return one(inventory.ReservationRefused(c)), nil
		}
		return nil, nil
	case Close:
		return r.close(), nil
	case Commit:
		return r.commit()
	}
	return nil, nil
}

func one(e inventory.ReservationEvent) []inventory.ReservationEvent {
	return []inventory.ReservationEvent{e}
}

func (r Reservation) open(c Open) ([]inventory.ReservationEvent, error) {
	switch {
	case r.Status == "":
		return one(inventory.ReservationOpened(c)), nil
	case len(r.Lines) > 0 && !slices.Equal(r.Lines, c.Lines):
		return nil, inventory.ErrDiffers
	}
	return nil, nil
}

func (r Reservation) hold() ([]inventory.ReservationEvent, error) {
	switch r.Status {
	case inventory.Open:
		return one(inventory.ReservationHeld{}), nil
	case inventory.Held:
		return nil, nil
	case "":
		return nil, inventory.ErrReservation
	case inventory.Refused, inventory.Released, inventory.Committed, inventory.Returned:
		return nil, inventory.ErrClosed
	}
	return nil, inventory.ErrClosed
}

func (r Reservation) close() []inventory.ReservationEvent {
	switch r.Status {
	case "", inventory.Open, inventory.Held:
		return one(inventory.ReservationReleased{})
	case inventory.Committed:
		return one(inventory.ReservationReturned{})
	case inventory.Refused, inventory.Released, inventory.Returned:
		return nil
	}
	return nil
}

func (r Reservation) commit() ([]inventory.ReservationEvent, error) {
	switch r.Status {
	case inventory.Held:
		return one(inventory.ReservationCommitted{}), nil
	case inventory.Committed:
		return nil, nil
	case inventory.Open:
		return nil, inventory.ErrNotHeld
	case "":
		return nil, inventory.ErrReservation
	case inventory.Refused, inventory.Released, inventory.Returned:
		return nil, inventory.ErrClosed
	}
	return nil, inventory.ErrClosed
}

// EvolveReservation returns the reservation after an event.
func EvolveReservation(r Reservation, e inventory.ReservationEvent) Reservation {
	switch e := e.(type) {
	case inventory.ReservationOpened:
		r.Status, r.Lines = inventory.Open, e.Lines
	case inventory.ReservationHeld:
		r.Status = inventory.Held
	case inventory.ReservationRefused:
		r.Status, r.Short = inventory.Refused, e.Short
	case inventory.ReservationReleased:
		r.Status = inventory.Released
	case inventory.ReservationCommitted:
		r.Status = inventory.Committed
	case inventory.ReservationReturned:
		r.Status = inventory.Returned
	}
	return r
}
