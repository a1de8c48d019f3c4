package shipping

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/rpc"
	"github.com/ordermesh/ordermesh/bus/telemetry"
	wire "github.com/ordermesh/ordermesh/contracts/sandbox"
	"github.com/ordermesh/ordermesh/contracts/shipping"
)

func TestTheCarriersBookIsListedPageByPage(t *testing.T) {
	t.Parallel()
	w := newWorld(t, bustest.Server(t, streams), time.Hour, nil)
	var want, got []string
	for i := range 7 {
		id := fmt.Sprint("o", i)
		_, err := w.create(id)
		check(t, err)
		want = append(want, id)
	}
	_, err := w.do(shipping.Cancel, "never")
	check(t, err)
	req := shipping.ListParcels{Limit: 3}
	for pages := 1; ; pages++ {
		page, err := rpc.Call(t.Context(), w.client, shipping.Parcels, req)
		check(t, err)
		for _, p := range page.Parcels {
			if p.Status != shipping.Created || p.ShipmentID == "" || p.Due.IsZero() {
				t.Errorf("%+v", p)
			}
			got = append(got, p.OrderID)
		}
		if req.Cursor = page.NextCursor; req.Cursor == "" {
			if pages != 3 {
				t.Errorf("%d pages", pages)
			}
			break
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if page, err := rpc.Call(t.Context(), w.client, shipping.Parcels, shipping.ListParcels{OrderID: "o3"}); err != nil || len(page.Parcels) != 1 || page.Parcels[0].OrderID != "o3" {
		t.Errorf("one order: %+v, %v", page, err)
	}
	if page, err := rpc.Call(t.Context(), w.client, shipping.Parcels, shipping.ListParcels{OrderID: "never"}); err != nil || len(page.Parcels) != 0 {
		t.Errorf("an order without a parcel: %+v, %v", page, err)
	}
	if _, err := rpc.Call(t.Context(), w.client, shipping.Parcels, shipping.ListParcels{Cursor: "9223372036854775808"}); !errors.Is(err, contract.ErrInvalid) {
		t.Errorf("a foreign cursor: %v", err)
	}
	customer := telemetry.WithActor(t.Context(), contract.Actor{Who: "shop", For: "c1"})
	if page, err := rpc.Call(customer, w.client, shipping.Parcels, shipping.ListParcels{}); err != nil || len(page.Parcels) != 0 {
		t.Errorf("a customer sees %+v, %v", page, err)
	}
}

// quiet is a carrier that has delivered everything and told nobody.
type quiet struct{ Carrier }

func (q quiet) Query(ctx context.Context, orderID string) (wire.Parcel, error) {
	p, err := q.Carrier.Query(ctx, orderID)
	p.Status = wire.ParcelDone
	return p, err
}

func TestTrackNotesADeliveryThatWasNotReported(t *testing.T) {
	t.Parallel()
	b := bustest.Server(t, streams)
	w := newWorld(t, b, time.Hour, nil)
	if _, err := w.do(shipping.Track, "o"); !errors.Is(err, shipping.ErrUnknown) {
		t.Errorf("track of nothing: %v", err)
	}
	_, err := w.create("o")
	check(t, err)
	if s, err := w.do(shipping.Track, "o"); err != nil || s.Status != shipping.Created || s.Version != 1 {
		t.Errorf("on its way: %+v, %v", s, err)
	}
	late := newWorld(t, bustest.Server(t, streams), time.Hour, func(c Carrier) Carrier { return quiet{c} })
	_, err = late.create("o")
	check(t, err)
	for range 2 {
		if s, err := late.do(shipping.Track, "o"); err != nil || s.Status != shipping.Delivered || s.Version != 2 {
			t.Errorf("delivered: %+v, %v", s, err)
		}
	}
}
