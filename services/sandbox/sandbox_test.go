package sandbox_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/rpc"
	"github.com/ordermesh/ordermesh/contracts/line"
	"github.com/ordermesh/ordermesh/contracts/money"
	"github.com/ordermesh/ordermesh/contracts/postal"
	wire "github.com/ordermesh/ordermesh/contracts/sandbox"
	"github.com/ordermesh/ordermesh/services/sandbox"
)

func TestMain(m *testing.M) { bustest.Main(m) }

const patience = 20 * time.Second

var (
	amount = money.New(1299, "EUR")
	books  = bustest.WithServices(wire.Provider, wire.Carrier)
)

type serving interface {
	Run(ctx context.Context) error
	Ready() <-chan struct{}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// run serves until stop, or until the test ends.
func run(t testing.TB, s serving) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := s.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	stop = func() {
		cancel()
		wg.Wait()
	}
	t.Cleanup(stop)
	<-s.Ready()
	return stop
}

func provider(t testing.TB, conn *bus.Conn, cfg sandbox.ProviderConfig) (stop func()) {
	t.Helper()
	p, err := sandbox.NewProvider(conn, cfg)
	check(t, err)
	return run(t, p)
}

func charge(key, token string) wire.AuthorizeCharge {
	return wire.AuthorizeCharge{Key: key, OrderID: "order-" + key, Amount: amount, Token: token}
}

// patient repeats what is unavailable.
func patient(conn *bus.Conn) *rpc.Client {
	return rpc.NewClient(conn, rpc.WithRetry(5, time.Millisecond, time.Millisecond))
}

func once(conn *bus.Conn) *rpc.Client { return rpc.NewClient(conn, rpc.WithRetry(1, 1, 1)) }

func TestAChargeGoesItsWay(t *testing.T) {
	t.Parallel()
	bustest.Each(t, func(t *testing.T, b *bustest.Broker) {
		ctx := t.Context()
		provider(t, b.Dial(t, bustest.WithService("provider")), sandbox.ProviderConfig{})
		client := patient(b.Dial(t))
		want := wire.Charge{ChargeID: "ch_k", Status: wire.ChargeAuthorized, Amount: amount}
		say := func(doing string, got wire.Charge, err error) {
			t.Helper()
			check(t, err)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s: %s", doing, diff)
			}
		}
		for range 2 {
			got, err := rpc.Call(ctx, client, wire.Authorize, charge("k", wire.TokenOK))
			say("authorize", got, err)
		}
		ref, key := wire.ChargeRef{ChargeID: "ch_k"}, wire.ChargeKey{Key: "k"}
		if _, err := rpc.Call(ctx, client, wire.Refund, ref); !errors.Is(err, wire.ErrNotRefund) {
			t.Errorf("refund before capture: %v", err)
		}
		want.Status = wire.ChargeCaptured
		for range 2 {
			got, err := rpc.Call(ctx, client, wire.Capture, ref)
			say("capture", got, err)
		}
		if _, err := rpc.Call(ctx, client, wire.Void, key); !errors.Is(err, wire.ErrNotVoid) {
			t.Errorf("void after capture: %v", err)
		}
		got, err := rpc.Call(ctx, client, wire.QueryCharge, key)
		say("query", got, err)
		want.Status = wire.ChargeRefunded
		for range 2 {
			got, err := rpc.Call(ctx, client, wire.Refund, ref)
			say("refund", got, err)
		}
		got, err = rpc.Call(ctx, client, wire.Authorize, charge("k", wire.TokenOK))
		say("authorize at the end", got, err)
	}, books)
}

func TestAKeyChargesOnce(t *testing.T) {
	t.Parallel()
	b := bustest.Server(t, books)
	for range 2 { // two processes of the provider
		provider(t, b.Dial(t, bustest.WithService("provider")), sandbox.ProviderConfig{})
	}
	conn := b.Dial(t)
	client := patient(conn)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if got, err := rpc.Call(t.Context(), client, wire.Authorize, charge("k", wire.TokenOK)); err != nil || got.ChargeID != "ch_k" {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
	wg.Wait()
	kv, err := conn.JetStream().KeyValue(t.Context(), wire.ProviderBook)
	check(t, err)
	status, err := kv.Status(t.Context())
	check(t, err)
	if status.Values() != 1 {
		t.Errorf("%d records for one charge", status.Values())
	}
	for _, other := range []func(*wire.AuthorizeCharge){
		func(c *wire.AuthorizeCharge) { c.OrderID = "another" },
		func(c *wire.AuthorizeCharge) { c.Amount = money.New(1, "EUR") },
	} {
		c := charge("k", wire.TokenOK)
		other(&c)
		if _, err := rpc.Call(t.Context(), client, wire.Authorize, c); !errors.Is(err, wire.ErrChargeKey) {
			t.Errorf("the key of another charge: %v", err)
		}
	}
}

func TestTokens(t *testing.T) {
	t.Parallel()
	b := bustest.Server(t, books)
	stop := provider(t, b.Dial(t, bustest.WithService("provider")), sandbox.ProviderConfig{})
	client := once(b.Dial(t))
	ctx := t.Context()
	for token, reason := range map[string]string{wire.TokenDeclined: "card_declined", "tok_stolen": "unknown_card"} {
		for range 2 {
			got, err := rpc.Call(ctx, client, wire.Authorize, charge(token, token))
			if err != nil || got.Status != wire.ChargeDeclined || got.Reason != reason {
				t.Errorf("%s: %+v, %v", token, got, err)
			}
		}
		if _, err := rpc.Call(ctx, client, wire.Capture, wire.ChargeRef{ChargeID: "ch_" + token}); !errors.Is(err, wire.ErrNotCapture) {
			t.Errorf("capture of %s: %v", token, err)
		}
		if got, err := rpc.Call(ctx, client, wire.Void, wire.ChargeKey{Key: token}); err != nil || got.Status != wire.ChargeDeclined {
			t.Errorf("void of %s: %+v, %v", token, got, err)
		}
	}
	for try := range 4 {
		got, err := rpc.Call(ctx, client, wire.Authorize, charge("flaky", wire.TokenFlaky))
		if works := try >= 2; works != (err == nil) || (!works && !errors.Is(err, contract.ErrUnavailable)) || (works && got.Status != wire.ChargeAuthorized) {
			t.Errorf("try %d of a flaky charge: %+v, %v", try, got, err)
		}
	}
	late := charge("timeout", wire.TokenTimeout)
	if _, err := rpc.Call(ctx, client, wire.Authorize, late, rpc.WithTimeout(50*time.Millisecond)); !errors.Is(err, contract.ErrDeadline) {
		t.Errorf("a charge that is never answered: %v", err)
	}
	if got, err := rpc.Call(ctx, client, wire.QueryCharge, wire.ChargeKey{Key: "timeout"}); err != nil || got.Status != wire.ChargeAuthorized {
		t.Errorf("query after the time-out: %+v, %v", got, err)
	}
	// A charge that hangs does not hold up the end.
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = rpc.Call(ctx, client, wire.Authorize, late, rpc.WithTimeout(time.Minute)) })
	bustest.Eventually(t, patience, func() bool {
		_, err := rpc.Call(ctx, client, wire.QueryCharge, wire.ChargeKey{Key: "timeout"})
		return err == nil
	})
	stop()
	wg.Wait()
}

func TestAVoidComesBeforeItsCharge(t *testing.T) {
	t.Parallel()
	b := bustest.Server(t, books)
	provider(t, b.Dial(t, bustest.WithService("provider")), sandbox.ProviderConfig{})
	client := patient(b.Dial(t))
	ctx, key := t.Context(), wire.ChargeKey{Key: "k"}
	if _, err := rpc.Call(ctx, client, wire.QueryCharge, key); !errors.Is(err, wire.ErrNoCharge) {
		t.Errorf("query: %v", err)
	}
	for _, id := range []string{"ch_k", "k", "ch_"} {
		if _, err := rpc.Call(ctx, client, wire.Capture, wire.ChargeRef{ChargeID: id}); !errors.Is(err, wire.ErrNoCharge) {
			t.Errorf("capture: %v", err)
		}
	}
	for range 2 {
		if got, err := rpc.Call(ctx, client, wire.Void, key); err != nil || got.Status != wire.ChargeVoided {
			t.Errorf("void: %+v, %v", got, err)
		}
	}
	if got, err := rpc.Call(ctx, client, wire.Authorize, charge("k", wire.TokenOK)); err != nil || got.Status != wire.ChargeVoided {
		t.Errorf("authorize: %+v, %v", got, err)
	}
	if _, err := rpc.Call(ctx, client, wire.Capture, wire.ChargeRef{ChargeID: "ch_k"}); !errors.Is(err, wire.ErrNotCapture) {
		t.Errorf("capture: %v", err)
	}
}

func TestLatencyIsAdded(t *testing.T) {
	t.Parallel()
	b := bustest.Server(t, books)
	provider(t, b.Dial(t, bustest.WithService("provider")), sandbox.ProviderConfig{Latency: 30 * time.Millisecond})
	begin := time.Now()
	if _, err := rpc.Call(t.Context(), patient(b.Dial(t)), wire.Authorize, charge("k", wire.TokenOK)); err != nil || time.Since(begin) < 30*time.Millisecond {
		t.Errorf("answered after %v, %v", time.Since(begin), err)
	}
}

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
	run(t, server)
	return m
}

func carrier(t *testing.T, conn *bus.Conn) (stop func()) {
	t.Helper()
	c, err := sandbox.NewCarrier(conn, sandbox.CarrierConfig{})
	check(t, err)
	return run(t, c)
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
	got, err := rpc.Call(ctx, client, wire.Ship, parcel("a", 100*time.Millisecond))
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
	if d := time.Since(begin); d < 100*time.Millisecond {
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
