package domain_test

import (
	"math/rand/v2"
	"testing"

	"github.com/ordermesh/ordermesh/contracts/inventory"
	"github.com/ordermesh/ordermesh/contracts/line"
	"github.com/ordermesh/ordermesh/contracts/spec"
	"github.com/ordermesh/ordermesh/services/inventory/domain"
)

var lines = []line.Line{{SKU: "TEA-001", Quantity: 2}}

func TestReservation(t *testing.T) {
	t.Parallel()
	type given = []inventory.ReservationEvent
	opened := inventory.ReservationOpened{Lines: lines}
	held := inventory.ReservationHeld{}
	refused := inventory.ReservationRefused{Short: "TEA-001"}
	released := inventory.ReservationReleased{}
	committed := inventory.ReservationCommitted{}
	returned := inventory.ReservationReturned{}
	other := domain.Open{Lines: []line.Line{{SKU: "TEA-001", Quantity: 3}}}
	spec.Run(t, domain.DecideReservation, domain.EvolveReservation, []spec.Case[domain.ReservationCommand, inventory.ReservationEvent]{
		{Name: "a reservation opens with its lines", When: domain.Open(opened), Then: given{opened}},
		{Name: "it opens once", Given: given{opened}, When: domain.Open(opened)},
		{Name: "it does not change its lines", Given: given{opened}, When: other, Err: inventory.ErrDiffers},
		{Name: "a closed one stays closed", Given: given{opened, released}, When: domain.Open(opened)},
		{Name: "one that was released before it came stays closed", Given: given{released}, When: domain.Open(opened)},

		{Name: "every line is held", Given: given{opened}, When: domain.Keep{}, Then: given{held}},
		{Name: "it is held once", Given: given{opened, held}, When: domain.Keep{}},
		{Name: "what never opened is not held", When: domain.Keep{}, Err: inventory.ErrReservation},
		{Name: "released meanwhile is not held", Given: given{opened, released}, When: domain.Keep{}, Err: inventory.ErrClosed},
		{Name: "refused meanwhile is not held", Given: given{opened, refused}, When: domain.Keep{}, Err: inventory.ErrClosed},
		{Name: "sold meanwhile is not held", Given: given{opened, held, committed}, When: domain.Keep{}, Err: inventory.ErrClosed},

		{Name: "one SKU is short", Given: given{opened}, When: domain.Refuse(refused), Then: given{refused}},
		{Name: "it is refused once", Given: given{opened, refused}, When: domain.Refuse{Short: "POT-001"}},
		{Name: "what is held already is not refused", Given: given{opened, held}, When: domain.Refuse(refused)},

		{Name: "an open one is released", Given: given{opened}, When: domain.Close{}, Then: given{released}},
		{Name: "a held one is released", Given: given{opened, held}, When: domain.Close{}, Then: given{released}},
		{Name: "a sold one is returned", Given: given{opened, held, committed}, When: domain.Close{}, Then: given{returned}},
		{Name: "one that does not exist is closed all the same", When: domain.Close{}, Then: given{released}},
		{Name: "a refused one has nothing to give back", Given: given{opened, refused}, When: domain.Close{}},
		{Name: "a released one has nothing to give back", Given: given{opened, released}, When: domain.Close{}},
		{Name: "a returned one has nothing to give back", Given: given{opened, held, committed, returned}, When: domain.Close{}},

		{Name: "a held one is sold", Given: given{opened, held}, When: domain.Commit{}, Then: given{committed}},
		{Name: "it is sold once", Given: given{opened, held, committed}, When: domain.Commit{}},
		{Name: "an open one is not sold", Given: given{opened}, When: domain.Commit{}, Err: inventory.ErrNotHeld},
		{Name: "a released one is not sold", Given: given{opened, held, released}, When: domain.Commit{}, Err: inventory.ErrClosed},
		{Name: "a refused one is not sold", Given: given{opened, refused}, When: domain.Commit{}, Err: inventory.ErrClosed},
		{Name: "a returned one is not sold again", Given: given{opened, held, committed, returned}, When: domain.Commit{}, Err: inventory.ErrClosed},
		{Name: "what does not exist is not sold", When: domain.Commit{}, Err: inventory.ErrReservation},
	})
}

func FuzzReservation(f *testing.F) {
	f.Add([]byte{0, 1, 4, 3, 0, 1})
	f.Add([]byte{0, 2, 3, 1})
	f.Add([]byte{3, 0, 1, 4})
	f.Fuzz(reservationHistory)
}

func TestRandomReservationHistories(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		history := make([]byte, 20)
		for i := range history {
			history[i] = byte(random.Uint32())
		}
		reservationHistory(t, history)
	}
}

func reservationHistory(t *testing.T, history []byte) {
	t.Helper()
	var r domain.Reservation
	var sold, back int
	for _, step := range history {
		before := r
		command := []domain.ReservationCommand{
			domain.Open{Lines: lines}, domain.Keep{}, domain.Refuse{Short: "TEA-001"}, domain.Close{}, domain.Commit{},
		}[step%5]
		events, err := domain.DecideReservation(r, command)
		if err != nil && len(events) > 0 {
			t.Fatalf("%+v: refused and done", command)
		}
		for _, e := range events {
			r = domain.EvolveReservation(r, e)
			switch e.(type) {
			case inventory.ReservationCommitted:
				sold++
			case inventory.ReservationReturned:
				back++
			case inventory.ReservationOpened, inventory.ReservationHeld, inventory.ReservationRefused, inventory.ReservationReleased:
			}
		}
		if before.Closed() && !r.Closed() {
			t.Fatalf("%+v reopened a %s reservation", command, before.Status)
		}
		if before.Closed() && r.Status != before.Status && (before.Status != inventory.Committed || r.Status != inventory.Returned) {
			t.Fatalf("%+v made %s of %s", command, r.Status, before.Status)
		}
		if sold > 1 || back > sold {
			t.Fatalf("sold %d times, returned %d times", sold, back)
		}
	}
}
