package domain_test

import (
	"math/rand/v2"
	"testing"

	"github.com/ordermesh/ordermesh/contracts/shipping"
	"github.com/ordermesh/ordermesh/contracts/spec"
	"github.com/ordermesh/ordermesh/services/shipping/domain"
)

func TestShipment(t *testing.T) {
	t.Parallel()
	type given = []shipping.Event
	created := shipping.ShipmentCreated{ShipmentID: "tr_7"}
	cancelled := shipping.ShipmentCancelled{}
	delivered := shipping.ShipmentDelivered{ShipmentID: "tr_7"}
	spec.Run(t, domain.Decide, domain.Evolve, []spec.Case[domain.Command, shipping.Event]{
		{Name: "the carrier takes a parcel on", When: domain.Create(created), Then: given{created}},
		{Name: "it takes it on once", Given: given{created}, When: domain.Create(created)},
		{Name: "there is one parcel per order", Given: given{created}, When: domain.Create{ShipmentID: "tr_8"}, Err: shipping.ErrDiffers},
		{Name: "a cancelled shipment is not sent", Given: given{cancelled}, When: domain.Create(created), Err: shipping.ErrCancelled},
		{Name: "a delivered shipment is not sent again", Given: given{created, delivered}, When: domain.Create(created)},

		{Name: "a parcel is stopped", Given: given{created}, When: domain.Cancel{}, Then: given{cancelled}},
		{Name: "it is stopped once", Given: given{created, cancelled}, When: domain.Cancel{}},
		{Name: "a parcel is stopped before it comes", When: domain.Cancel{}, Then: given{cancelled}},
		{Name: "a delivered parcel is not stopped", Given: given{created, delivered}, When: domain.Cancel{}, Err: shipping.ErrDelivered},

		{Name: "the carrier delivers", Given: given{created}, When: domain.Deliver(delivered), Then: given{delivered}},
		{Name: "it delivers once", Given: given{created, delivered}, When: domain.Deliver(delivered)},
		{Name: "another parcel is not this one", Given: given{created}, When: domain.Deliver{ShipmentID: "tr_8"}, Err: shipping.ErrDiffers},
		{Name: "a stopped parcel is not delivered", Given: given{created, cancelled}, When: domain.Deliver(delivered), Err: shipping.ErrCancelled},
		{Name: "an unknown parcel is not delivered", When: domain.Deliver(delivered), Err: shipping.ErrUnknown},
	})
}

func FuzzShipment(f *testing.F) {
	f.Add([]byte{0, 2, 1})
	f.Add([]byte{1, 0, 2})
	f.Fuzz(shipmentHistory)
}

func TestRandomShipmentHistories(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for range 1000 {
		history := make([]byte, 12)
		for i := range history {
			history[i] = byte(random.Uint32())
		}
		shipmentHistory(t, history)
	}
}

// shipmentHistory checks that a shipment ends once and in one way.
func shipmentHistory(t *testing.T, history []byte) {
	t.Helper()
	var s domain.Shipment
	var created, ended int
	for _, step := range history {
		id := string(rune('a' + step/3%2))
		command := []domain.Command{domain.Create{ShipmentID: id}, domain.Cancel{}, domain.Deliver{ShipmentID: id}}[step%3]
		events, err := domain.Decide(s, command)
		if err != nil && len(events) > 0 {
			t.Fatalf("%+v: refused and done", command)
		}
		for _, e := range events {
			s = domain.Evolve(s, e)
			switch e.(type) {
			case shipping.ShipmentCreated:
				created++
			case shipping.ShipmentCancelled, shipping.ShipmentDelivered:
				ended++
			}
		}
		if created > 1 || ended > 1 || (s.Status == shipping.Delivered && created == 0) {
			t.Fatalf("created %d times, ended %d times: %+v", created, ended, s)
		}
	}
}
