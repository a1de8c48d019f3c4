package judge

import (
	"fmt"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/contracts/shipping"
)

// shipmentPart folds the stream SHIPPING.
type shipmentPart struct {
	*history
	shipments map[string]*shipment
}

type shipment struct {
	id         string // the order's
	last       uint64
	shipmentID string // the carrier's
	created    bool
	status     shipping.Status
}

var shipmentInfo = shipping.Events.Info()

func (p *shipmentPart) hear(m message) {
	p.take(m, []contract.EventsInfo{shipmentInfo}, func(_ contract.EventsInfo, e event) {
		v, ok := decoded(p.history, shipping.Events, e)
		if !ok {
			return
		}
		s := p.shipments[e.id]
		if s == nil {
			s = &shipment{id: e.id}
			p.shipments[e.id] = s
		}
		p.docket.looked(checkShipments, 1)
		was := s.status
		if wrong := s.apply(v); wrong != "" {
			p.docket.find(checkShipments, e.finding(shipmentInfo, wrong, fmt.Sprintf("%s after %s", e.Type, orNone(was))))
		}
		s.last = e.sequence
	})
}

func (s *shipment) apply(v shipping.Event) (wrong string) {
	switch v := v.(type) {
	case shipping.ShipmentCreated:
		if s.status != "" {
			wrong = "a shipment created as the first event"
		}
		s.status, s.created, s.shipmentID = shipping.Created, true, v.ShipmentID
	case shipping.ShipmentCancelled:
		if s.status != "" && s.status != shipping.Created {
			wrong = "no cancellation of an ended shipment"
		}
		s.status = shipping.Cancelled
	case shipping.ShipmentDelivered:
		if s.status != shipping.Created || v.ShipmentID != s.shipmentID {
			wrong = fmt.Sprintf("a delivery of the created shipment %s", orNone(s.shipmentID))
		}
		s.status = shipping.Delivered
	}
	return wrong
}

func (s *shipment) finding(expected, is string) Finding {
	return Finding{Entity: "shipment " + s.id, Subject: "evt.shipment." + s.id, Sequence: s.last, Expected: expected, Is: is}
}
