package eventstore_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/eventstore"
)

// A seat is booked once. Decide and evolve are pure; the entity does the rest.
type (
	seat      struct{ Holder string }
	book      struct{ Who string }
	seatEvent interface{ seatEvent() }
	booked    struct {
		Who string `json:"who"`
	}
)

func (booked) seatEvent() {}

var (
	seatEvents = contract.NewEvents("cinema", "CINEMA", "seat", contract.Type[seatEvent, booked]("seat.booked.v1"))
	errTaken   = contract.NewError(contract.Conflict, "seat_taken", "the seat is taken")
)

func decideSeat(s seat, b book) ([]seatEvent, error) {
	if s.Holder != "" {
		return nil, errTaken
	}
	return []seatEvent{booked(b)}, nil
}

func evolveSeat(s seat, e seatEvent) seat {
	if e, ok := e.(booked); ok {
		s.Holder = e.Who
	}
	return s
}

func ExampleEntity() {
	// eventstore.NewJetStreamLog(conn, "CINEMA") in a service.
	seats := eventstore.NewEntity(eventstore.NewMemoryLog(), seatEvents, decideSeat, evolveSeat)
	ctx := context.Background()

	s, version, err := seats.Do(ctx, "row-1-seat-7", "request-1", book{Who: "Ada"})
	fmt.Println(s.Holder, version, err)

	_, _, err = seats.Do(ctx, "row-1-seat-7", "request-2", book{Who: "Bob"})
	fmt.Println(errors.Is(err, errTaken))

	// The answer to request-1 was lost and it is sent again: nothing happens twice.
	s, version, err = seats.Do(ctx, "row-1-seat-7", "request-1", book{Who: "Ada"})
	fmt.Println(s.Holder, version, err)

	// Output:
	// Ada 1 <nil>
	// true
	// Ada 1 <nil>
}
