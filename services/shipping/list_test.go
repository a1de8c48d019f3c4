package shipping

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/rpc"
	"github.com/ordermesh/ordermesh/bus/telemetry"
	"github.com/ordermesh/ordermesh/contracts/page"
	"github.com/ordermesh/ordermesh/contracts/shipping"
)

func TestListOfShipments(t *testing.T) {
	t.Parallel()
	w := newWorld(t, bustest.Server(t, streams), time.Hour, nil)
	for _, order := range []string{"o1", "o2", "o3"} {
		_, err := w.create(order)
		check(t, err)
	}
	last, err := w.do(shipping.Cancel, "o2")
	check(t, err)
	list := func(as contract.Actor, req shipping.ListShipments) []shipping.Shipment {
		req.Reflects, req.Limit = &page.Reflects{ID: last.OrderID, Version: last.Version}, 1
		all := []shipping.Shipment{}
		for {
			answer, err := rpc.Call(telemetry.WithActor(t.Context(), as), w.client, shipping.List, req)
			check(t, err)
			all = append(all, answer.Shipments...)
			if req.Cursor = answer.NextCursor; req.Cursor == "" {
				return all
			}
		}
	}
	for status, want := range map[shipping.Status][]string{
		"": {"o3", "o2", "o1"}, shipping.Created: {"o3", "o1"}, shipping.Cancelled: {"o2"}, shipping.Delivered: {},
	} {
		ids := []string{}
		for _, s := range list(contract.Actor{}, shipping.ListShipments{Status: status}) {
			ids = append(ids, s.OrderID)
			one, err := rpc.Call(t.Context(), w.client, shipping.Get, shipping.GetShipment{OrderID: s.OrderID, MinVersion: s.Version})
			one.Due = one.Due.Truncate(time.Microsecond)
			if diff := cmp.Diff(one, s); err != nil || diff != "" {
				t.Errorf("%s in the list: %v %s", s.OrderID, err, diff)
			}
		}
		if diff := cmp.Diff(want, ids); diff != "" {
			t.Errorf("status %q: %s", status, diff)
		}
	}
	if got := list(contract.Actor{Who: "gateway", For: "c1"}, shipping.ListShipments{}); len(got) > 0 {
		t.Errorf("for a customer: %+v", got)
	}
	_, err = rpc.Call(t.Context(), w.client, shipping.List, shipping.ListShipments{Reflects: &page.Reflects{ID: "none", Version: 1}})
	if !errors.Is(err, shipping.ErrUnknown) {
		t.Errorf("a list that has seen nothing: %v", err)
	}
}
