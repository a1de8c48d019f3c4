package shipping

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/config"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/policy"
	"github.com/ordermesh/ordermesh/bus/rpc"
	"github.com/ordermesh/ordermesh/bus/telemetry"
	"github.com/ordermesh/ordermesh/contracts/line"
	"github.com/ordermesh/ordermesh/contracts/postal"
	wire "github.com/ordermesh/ordermesh/contracts/sandbox"
	"github.com/ordermesh/ordermesh/contracts/shipping"
	"github.com/ordermesh/ordermesh/embedded/natsd"
	"github.com/ordermesh/ordermesh/services/sandbox"
)

func TestMain(m *testing.M) { bustest.Main(m) }

const patience = 20 * time.Second

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// world is a shipping service at a carrier, each behind its own connection.
type world struct {
	t      *testing.T
	broker *bustest.Broker
	client *rpc.Client
}

func newWorld(t *testing.T, b *bustest.Broker, transit time.Duration, hook func(Carrier) Carrier) *world {
	t.Helper()
	c, err := sandbox.NewCarrier(b.Dial(t, bustest.WithService("carrier")), sandbox.CarrierConfig{})
	check(t, err)
	bustest.Run(t, c)
	w := &world{t: t, broker: b, client: rpc.NewClient(b.Dial(t))}
	w.serve(transit, hook)
	return w
}

// serve starts one process of the service.
func (w *world) serve(transit time.Duration, hook func(Carrier) Carrier) {
	w.t.Helper()
	conn := w.broker.Dial(w.t, bustest.WithService("shipping"))
	cfg := Config{Settings: config.Fixed(shipping.Settings{Transit: transit})}
	if hook != nil {
		cfg.Carrier = hook(newSandboxCarrier(conn, policy.NewSet(conn, shipping.Descriptor)))
	}
	s, err := New(conn, cfg)
	check(w.t, err)
	bustest.Run(w.t, s)
}

func (w *world) create(order string) (shipping.Shipment, error) {
	return rpc.Call(w.t.Context(), w.client, shipping.Create, shipping.CreateShipment{
		OrderID: order, Lines: []line.Line{{SKU: "TEA-001", Quantity: 2}},
		ShipTo: postal.Address{Name: "Ada", Line1: "1 Main St", City: "Berlin", PostalCode: "10115", Country: "DE"},
	})
}

func (w *world) do(m contract.Method[shipping.ShipmentRef, shipping.Shipment], order string) (shipping.Shipment, error) {
	return rpc.Call(w.t.Context(), w.client, m, shipping.ShipmentRef{OrderID: order})
}

func (w *world) get(order string) (shipping.Shipment, error) {
	return rpc.Call(w.t.Context(), w.client, shipping.Get, shipping.GetShipment{OrderID: order})
}

// parcel is what the carrier says about an order.
func (w *world) parcel(order string) wire.ParcelStatus {
	w.t.Helper()
	p, err := rpc.Call(w.t.Context(), w.client, wire.QueryParcel, wire.ParcelRef{OrderID: order})
	if errors.Is(err, wire.ErrNoParcel) {
		return ""
	}
	check(w.t, err)
	return p.Status
}

func (w *world) delivered(order string) shipping.Shipment {
	w.t.Helper()
	var got shipping.Shipment
	bustest.Eventually(w.t, patience, func() bool {
		var err error
		got, err = w.get(order)
		check(w.t, err)
		return got.Status == shipping.Delivered
	}, "order "+order+" to be delivered")
	return got
}

var streams = bustest.WithServices(wire.Carrier, shipping.Descriptor)

func TestAShipmentGoesItsWay(t *testing.T) {
	t.Parallel()
	bustest.Each(t, func(t *testing.T, b *bustest.Broker) {
		w := newWorld(t, b, 200*time.Millisecond, nil)
		if _, err := w.get("o"); !errors.Is(err, shipping.ErrUnknown) {
			t.Errorf("get: %v", err)
		}
		first, err := w.create("o")
		check(t, err)
		want := shipping.Shipment{OrderID: "o", ShipmentID: first.ShipmentID, Status: shipping.Created, Due: first.Due, Version: 1}
		if diff := cmp.Diff(want, first); diff != "" || first.ShipmentID == "" || first.Due.IsZero() {
			t.Error(diff)
		}
		want.Status, want.Version = shipping.Delivered, 2
		if diff := cmp.Diff(want, w.delivered("o")); diff != "" {
			t.Error(diff)
		}
		again, err := w.create("o")
		check(t, err)
		if diff := cmp.Diff(want, again); diff != "" {
			t.Error(diff)
		}
		if _, err := w.do(shipping.Cancel, "o"); !errors.Is(err, shipping.ErrDelivered) {
			t.Errorf("cancel: %v", err)
		}
		receipt, err := rpc.Call(t.Context(), w.client, shipping.Deliver, wire.ParcelDelivered{OrderID: "o", TrackingID: first.ShipmentID})
		if err != nil || receipt.Version != 2 {
			t.Errorf("a second callback: %+v, %v", receipt, err)
		}
		if _, err := rpc.Call(t.Context(), w.client, shipping.Deliver, wire.ParcelDelivered{OrderID: "o", TrackingID: "tr_other"}); !errors.Is(err, shipping.ErrDiffers) {
			t.Errorf("another parcel: %v", err)
		}
	}, streams)
}

func TestInstantDelivery(t *testing.T) {
	t.Parallel()
	w := newWorld(t, bustest.Server(t, streams), 0, nil)
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			if _, err := w.create(fmt.Sprint("o", i)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for i := range 50 {
		w.delivered(fmt.Sprint("o", i))
	}
}

func TestFiftyCreationsMakeOneParcel(t *testing.T) {
	t.Parallel()
	w := newWorld(t, bustest.Server(t, streams), time.Hour, nil)
	w.serve(time.Hour, nil) // a second process
	ids := make(chan string, 50)
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			s, err := w.create("o")
			if err != nil || s.Version != 1 {
				t.Errorf("%+v, %v", s, err)
			}
			ids <- s.ShipmentID
		})
	}
	wg.Wait()
	close(ids)
	first := <-ids
	for id := range ids {
		if id != first {
			t.Errorf("parcels %s and %s", first, id)
		}
	}
}

func TestACancelledShipmentIsNotSent(t *testing.T) {
	t.Parallel()
	w := newWorld(t, bustest.Server(t, streams), time.Hour, nil)
	for _, order := range []string{"before", "after"} {
		if order == "after" {
			_, err := w.create(order)
			check(t, err)
		}
		for range 2 {
			if s, err := w.do(shipping.Cancel, order); err != nil || s.Status != shipping.Cancelled {
				t.Errorf("cancel %s: %+v, %v", order, s, err)
			}
		}
		if _, err := w.create(order); !errors.Is(err, shipping.ErrCancelled) {
			t.Errorf("create %s: %v", order, err)
		}
	}
	if p := w.parcel("before"); p != "" {
		t.Errorf("the carrier has a parcel: %s", p)
	}
	if p := w.parcel("after"); p != wire.ParcelCancelled {
		t.Errorf("the carrier says %s", p)
	}
}

// between calls something when the carrier has answered and nobody knows yet.
type between struct {
	Carrier
	after func(operation string)
}

func (b between) Ship(ctx context.Context, r wire.ShipParcel) (wire.Parcel, error) {
	p, err := b.Carrier.Ship(ctx, r)
	if err == nil {
		b.after("ship")
	}
	return p, err
}

func (b between) Cancel(ctx context.Context, order string) (wire.Parcel, error) {
	p, err := b.Carrier.Cancel(ctx, order)
	if err == nil {
		b.after("cancel")
	}
	return p, err
}

// crashing breaks each operation off once, after the carrier has done it.
func crashing(operations ...string) func(Carrier) Carrier {
	var mu sync.Mutex
	left := map[string]bool{}
	for _, o := range operations {
		left[o] = true
	}
	return func(c Carrier) Carrier {
		return between{c, func(operation string) {
			mu.Lock()
			defer mu.Unlock()
			if left[operation] {
				left[operation] = false
				panic("crash between the carrier and the append")
			}
		}}
	}
}

func TestACrashAfterTheCarrierIsRepaired(t *testing.T) {
	t.Parallel()
	w := newWorld(t, bustest.Server(t, streams), 50*time.Millisecond, crashing("ship"))
	if _, err := w.create("o"); !errors.Is(err, contract.ErrInternal) {
		t.Fatalf("no crash: %v", err)
	}
	// The parcel is on its way and may even be delivered before anybody knows of it.
	bustest.Eventually(t, patience, func() bool { return w.parcel("o") == wire.ParcelDone }, "the parcel to be due")
	if s, err := w.create("o"); err != nil || s.ShipmentID == "" {
		t.Errorf("create again: %+v, %v", s, err)
	}
	w.delivered("o")
}

func TestACrashIsFollowedByAChangeOfMind(t *testing.T) {
	t.Parallel()
	w := newWorld(t, bustest.Server(t, streams), time.Hour, crashing("ship", "cancel"))
	if _, err := w.create("o"); !errors.Is(err, contract.ErrInternal) {
		t.Fatalf("no crash: %v", err)
	}
	if _, err := w.do(shipping.Cancel, "o"); !errors.Is(err, contract.ErrInternal) {
		t.Fatalf("no crash: %v", err)
	}
	if _, err := w.create("o"); !errors.Is(err, shipping.ErrCancelled) {
		t.Errorf("create after a cancellation that was not noted: %v", err)
	}
	if s, err := w.do(shipping.Cancel, "o"); err != nil || s.Status != shipping.Cancelled || w.parcel("o") != wire.ParcelCancelled {
		t.Errorf("cancel: %+v, %v; the carrier says %s", s, err, w.parcel("o"))
	}
}

func TestACancellationBetweenCarrierAndNote(t *testing.T) {
	t.Parallel()
	var w *world
	w = newWorld(t, bustest.Server(t, streams), time.Hour, func(c Carrier) Carrier {
		return between{c, func(operation string) {
			if operation == "ship" {
				if s, err := w.do(shipping.Cancel, "o"); err != nil || s.Status != shipping.Cancelled {
					t.Errorf("cancel: %+v, %v", s, err)
				}
			}
		}}
	})
	if _, err := w.create("o"); !errors.Is(err, shipping.ErrCancelled) {
		t.Errorf("create: %v", err)
	}
	if p := w.parcel("o"); p != wire.ParcelCancelled {
		t.Errorf("the carrier says %s", p)
	}
}

func TestDerivedPermissionsAreEnough(t *testing.T) {
	t.Parallel()
	users := []natsd.User{{Name: "admin", Admin: true}}
	for _, s := range []contract.Service{wire.Carrier, shipping.Descriptor} {
		allowed := s.Permissions(contract.Development)
		users = append(users, natsd.User{
			Name: s.Name, Password: "p", Publish: allowed.Publish, Subscribe: allowed.Subscribe, AllowResponses: allowed.Responses,
		})
	}
	b := bustest.Server(t, streams, bustest.WithServer(natsd.Config{DefaultUser: "admin", Users: users}))
	dial := func(service string) *bus.Conn {
		conn := b.Dial(t, bustest.WithService(service), bustest.WithUser(service, "p"))
		t.Cleanup(conn.WatchDenied(func(d bus.Denied) { t.Error(d) }))
		return conn
	}
	c, err := sandbox.NewCarrier(dial("carrier"), sandbox.CarrierConfig{})
	check(t, err)
	bustest.Run(t, c)
	s, err := New(dial("shipping"), Config{})
	check(t, err)
	bustest.Run(t, s)
	w := &world{t: t, broker: b, client: rpc.NewClient(b.Dial(t))}
	for _, order := range []string{"a", "b"} {
		if _, err := w.create(order); err != nil {
			t.Error(err)
		}
	}
	if _, err := w.do(shipping.Cancel, "a"); err != nil {
		t.Error(err)
	}
	w.delivered("b")
}

// TestCustomersAreNotAnswered: the shipment knows no customers, so whoever acts for one gets
// to see nothing, also of the customer's own.
func TestCustomersAreNotAnswered(t *testing.T) {
	t.Parallel()
	w := newWorld(t, bustest.Server(t, streams), time.Hour, nil)
	_, err := w.create("o")
	check(t, err)
	customer := telemetry.WithActor(t.Context(), contract.Actor{Who: "gateway", For: "c2"})
	if _, err := rpc.Call(customer, w.client, shipping.Get, shipping.GetShipment{OrderID: "o"}); !errors.Is(err, shipping.ErrUnknown) {
		t.Errorf("a customer asks: %v", err)
	}
	if _, err := w.get("o"); err != nil {
		t.Errorf("a service asks: %v", err)
	}
}
