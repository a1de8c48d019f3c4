package sandbox_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/rpc"
	"github.com/ordermesh/ordermesh/contracts/line"
	"github.com/ordermesh/ordermesh/contracts/postal"
	wire "github.com/ordermesh/ordermesh/contracts/sandbox"
	"github.com/ordermesh/ordermesh/services/sandbox"
)

// merchant answers the carrier's callbacks.
type merchant struct {
	mu       sync.Mutex
	calls    map[string]int
	answer   func(order string, call int) error
	tracking map[string]string
}

func (m *merchant) deliver(_ context.Context, req wire.ParcelDelivered) (wire.Receipt, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.calls[req.OrderID]++
	m.tracking[req.OrderID] = req.TrackingID
	if m.answer != nil {
		if err := m.answer(req.OrderID, m.calls[req.OrderID]); err != nil {
			return wire.Receipt{}, err
		}
	}
	return wire.Receipt{OrderID: req.OrderID, Version: 2}, nil
}

func (m *merchant) called(order string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.calls[order]
}

func startMerchant(t *testing.T, conn *bus.Conn, answer func(order string, call int) error) *merchant {
	t.Helper()
	server, err := rpc.NewServer(conn, contract.Service{Name: "shipping", Version: "1.0.0", Serves: []contract.MethodInfo{wire.Deliver.Info()}})
	check(t, err)
	m := &merchant{calls: map[string]int{}, tracking: map[string]string{}, answer: answer}
	rpc.Handle(server, wire.Deliver, m.deliver)
	bustest.Run(t, server)
	return m
}

func carrier(t *testing.T, conn *bus.Conn) (stop func()) {
	t.Helper()
	c, err := sandbox.NewCarrier(conn, sandbox.CarrierConfig{})
	check(t, err)
	return bustest.Run(t, c)
}

func parcel(order string, transit time.Duration) wire.ShipParcel {
	return wire.ShipParcel{
		OrderID: order, Lines: []line.Line{{SKU: "TEA-001", Quantity: 2}}, TransitMS: transit.Milliseconds(),
		To: postal.Address{Name: "Ada", Line1: "1 Main St", City: "Berlin", PostalCode: "10115", Country: "DE"},
	}
}

// status waits until the carrier's book says that a parcel has ended like this.
func status(t *testing.T, conn *bus.Conn, order string, want wire.ParcelStatus) {
	t.Helper()
	kv, err := conn.JetStream().KeyValue(t.Context(), wire.CarrierBook)
	check(t, err)
	bustest.Eventually(t, patience, func() bool {
		entry, err := kv.Get(t.Context(), wire.EndKeyIn(order))
		if err != nil {
			return false
		}
		var end wire.EndRecord
		check(t, contract.UnmarshalLenient(entry.Value(), &end))
		return end.Status == want
	}, fmt.Sprintf("parcel %s to be %s", order, want))
}

func TestAParcelIsDeliveredWhenItIsDue(t *testing.T) {
	t.Parallel()
	b := bustest.Server(t, books)
	conn := b.Dial(t)
	carrier(t, b.Dial(t, bustest.WithService("carrier")))
	m := startMerchant(t, b.Dial(t, bustest.WithService("shipping")), func(_ string, call int) error {
		switch call {
		case 1:
			return contract.NewError(contract.NotFound, "shipment_not_found", "not yet")
		case 2:
			return contract.ErrUnavailable
		}
		return nil
	})
	client := patient(conn)
	ctx, begin := t.Context(), time.Now()
	got, err := rpc.Call(ctx, client, wire.Ship, parcel("a", time.Second))
	check(t, err)
	again, err := rpc.Call(ctx, client, wire.Ship, parcel("a", time.Hour))
	check(t, err)
	if got.Status != wire.ParcelInTransit || got.TrackingID == "" || got.TrackingID != again.TrackingID || !got.Due.Equal(again.Due) {
		t.Errorf("%+v, then %+v", got, again)
	}
	other := parcel("a", 0)
	other.Lines[0].Quantity = 3
	if _, err := rpc.Call(ctx, client, wire.Ship, other); !errors.Is(err, wire.ErrDiffers) {
		t.Errorf("other contents: %v", err)
	}
	status(t, conn, "a", wire.ParcelDone)
	if d := time.Since(begin); d < time.Second {
		t.Errorf("delivered after %v", d)
	}
	if m.called("a") < 3 || m.tracking["a"] != got.TrackingID {
		t.Errorf("%d calls for %s, parcel %s", m.called("a"), m.tracking["a"], got.TrackingID)
	}
	if _, err := rpc.Call(ctx, client, wire.CancelParcel, wire.ParcelRef{OrderID: "a"}); !errors.Is(err, wire.ErrDelivered) {
		t.Errorf("cancel after delivery: %v", err)
	}
	if p, err := rpc.Call(ctx, client, wire.QueryParcel, wire.ParcelRef{OrderID: "a"}); err != nil || p.Status != wire.ParcelDone {
		t.Errorf("query: %+v, %v", p, err)
	}
	if _, err := rpc.Call(ctx, client, wire.QueryParcel, wire.ParcelRef{OrderID: "b"}); !errors.Is(err, wire.ErrNoParcel) {
		t.Errorf("query of nothing: %v", err)
	}
}

func TestACancelledParcelIsNotDelivered(t *testing.T) {
	t.Parallel()
	b := bustest.Server(t, books)
	conn := b.Dial(t)
	carrier(t, b.Dial(t, bustest.WithService("carrier")))
	m := startMerchant(t, b.Dial(t, bustest.WithService("shipping")), nil)
	client := patient(conn)
	ctx := t.Context()
	_, err := rpc.Call(ctx, client, wire.Ship, parcel("a", 300*time.Millisecond))
	check(t, err)
	for range 2 {
		if p, err := rpc.Call(ctx, client, wire.CancelParcel, wire.ParcelRef{OrderID: "a"}); err != nil || p.Status != wire.ParcelCancelled {
			t.Errorf("cancel: %+v, %v", p, err)
		}
	}
	if p, err := rpc.Call(ctx, client, wire.CancelParcel, wire.ParcelRef{OrderID: "early"}); err != nil || p.Status != wire.ParcelCancelled {
		t.Errorf("cancel before the parcel: %+v, %v", p, err)
	}
	for _, order := range []string{"a", "early"} {
		if _, err := rpc.Call(ctx, client, wire.Ship, parcel(order, 0)); !errors.Is(err, wire.ErrCancelled) {
			t.Errorf("ship %s: %v", order, err)
		}
	}
	_, err = rpc.Call(ctx, client, wire.Ship, parcel("later", 400*time.Millisecond))
	check(t, err)
	status(t, conn, "later", wire.ParcelDone) // after the time of the cancelled ones
	if m.called("a")+m.called("early") != 0 {
		t.Error("a cancelled parcel was delivered")
	}
}

func TestWhatWasOnItsWaySurvivesARestart(t *testing.T) {
	t.Parallel()
	b := bustest.Server(t, books)
	conn := b.Dial(t)
	stop := carrier(t, b.Dial(t, bustest.WithService("carrier")))
	client := patient(conn)
	for i := range 20 {
		_, err := rpc.Call(t.Context(), client, wire.Ship, parcel(fmt.Sprint("o", i), time.Duration(i)*20*time.Millisecond))
		check(t, err)
	}
	stop() // nobody has answered a callback yet
	var answered atomic.Int32
	startMerchant(t, b.Dial(t, bustest.WithService("shipping")), func(string, int) error {
		answered.Add(1)
		return nil
	})
	for range 2 { // two processes at once
		carrier(t, b.Dial(t, bustest.WithService("carrier")))
	}
	for i := range 20 {
		status(t, conn, fmt.Sprint("o", i), wire.ParcelDone)
	}
	if n := answered.Load(); n < 20 {
		t.Errorf("%d callbacks for 20 parcels", n)
	}
}

func TestARefusedDeliveryIsNotRepeated(t *testing.T) {
	t.Parallel()
	b := bustest.Server(t, books)
	conn := b.Dial(t)
	carrier(t, b.Dial(t, bustest.WithService("carrier")))
	m := startMerchant(t, b.Dial(t, bustest.WithService("shipping")), func(string, int) error { return wire.ErrCancelled })
	_, err := rpc.Call(t.Context(), patient(conn), wire.Ship, parcel("a", 0))
	check(t, err)
	status(t, conn, "a", wire.ParcelDone)
	if m.called("a") != 1 {
		t.Errorf("%d calls", m.called("a"))
	}
}
