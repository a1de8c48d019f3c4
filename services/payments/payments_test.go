package payments

import (
	"errors"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/policy"
	"github.com/ordermesh/ordermesh/bus/rpc"
	"github.com/ordermesh/ordermesh/bus/telemetry"
	"github.com/ordermesh/ordermesh/contracts/money"
	"github.com/ordermesh/ordermesh/contracts/payments"
	wire "github.com/ordermesh/ordermesh/contracts/sandbox"
	"github.com/ordermesh/ordermesh/contracts/sealed"
	"github.com/ordermesh/ordermesh/embedded/natsd"
	"github.com/ordermesh/ordermesh/services/sandbox"
)

func TestMain(m *testing.M) { bustest.Main(m) }

var amount = money.New(2598, "EUR")

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// world is a payments service at a provider, each behind its own connection.
type world struct {
	t      *testing.T
	broker *bustest.Broker
	conn   *bus.Conn
	client *rpc.Client
	sealer *sealed.Sealer
	stop   func()
}

// newWorld starts everything; hook may put something between the service and the
// provider.
func newWorld(t *testing.T, b *bustest.Broker, hook func(Provider) Provider) *world {
	t.Helper()
	p, err := sandbox.NewProvider(b.Dial(t, bustest.WithService("provider")), sandbox.ProviderConfig{})
	check(t, err)
	bustest.Run(t, p)
	conn := b.Dial(t)
	w := &world{t: t, broker: b, conn: conn, client: rpc.NewClient(conn)}
	w.stop = w.serve(hook)
	w.sealer, err = sealed.NewSealer(w.key())
	check(t, err)
	return w
}

// serve starts one process of the service.
func (w *world) serve(hook func(Provider) Provider) (stop func()) {
	w.t.Helper()
	conn := w.broker.Dial(w.t, bustest.WithService("payments"))
	var provider Provider = newSandboxProvider(conn, policy.NewSet(conn, payments.Descriptor))
	if hook != nil {
		provider = hook(provider)
	}
	s, err := New(conn, Config{Provider: provider})
	check(w.t, err)
	return bustest.Run(w.t, s)
}

func (w *world) key() sealed.PublicKey {
	w.t.Helper()
	k, err := rpc.Call(w.t.Context(), w.client, payments.Key, payments.GetKey{})
	check(w.t, err)
	return sealed.PublicKey{ID: k.KeyID, Key: k.Key}
}

func (w *world) authorize(order, token string) (payments.Payment, error) {
	return rpc.Call(w.t.Context(), w.client, payments.Authorize, payments.AuthorizePayment{
		OrderID: order, Amount: amount, Reference: w.sealer.Seal(token, order),
	})
}

// do calls one of the methods that take an order's id.
func (w *world) do(m contract.Method[payments.PaymentRef, payments.Payment], order string) (payments.Payment, error) {
	return rpc.Call(w.t.Context(), w.client, m, payments.PaymentRef{OrderID: order})
}

func (w *world) get(order string) (payments.Payment, error) {
	return rpc.Call(w.t.Context(), w.client, payments.Get, payments.GetPayment{OrderID: order})
}

// refund gives back so many cents under a refund's id; 0 for all that is left.
func (w *world) refund(order, id string, cents int64) (payments.Payment, error) {
	req := payments.RefundPayment{OrderID: order, RefundID: id}
	if cents != 0 {
		in := money.In(money.New(cents, "EUR"))
		req.Amount = &in
	}
	return rpc.Call(w.t.Context(), w.client, payments.Refund, req)
}

// captured authorizes and captures the payment of an order.
func (w *world) captured(order string) {
	w.t.Helper()
	_, err := w.authorize(order, wire.TokenOK)
	check(w.t, err)
	_, err = w.do(payments.Capture, order)
	check(w.t, err)
}

// charge is what the provider says about an order.
func (w *world) charge(order string) wire.ChargeStatus {
	w.t.Helper()
	c, err := rpc.Call(w.t.Context(), w.client, wire.QueryCharge, wire.ChargeKey{Key: chargeKey(order)})
	if errors.Is(err, wire.ErrNoCharge) {
		return ""
	}
	check(w.t, err)
	return c.Status
}

// charges counts the charge records in the provider's book.
func (w *world) charges() int {
	w.t.Helper()
	kv, err := w.conn.JetStream().KeyValue(w.t.Context(), wire.ProviderBook)
	check(w.t, err)
	keys, err := kv.ListKeysFiltered(w.t.Context(), wire.ChargeKeyIn("*"))
	check(w.t, err)
	n := 0
	for range keys.Keys() {
		n++
	}
	return n
}

func server(t *testing.T) *bustest.Broker {
	t.Helper()
	return bustest.Server(t, bustest.WithServices(wire.Provider, payments.Descriptor))
}

func TestAPaymentGoesItsWay(t *testing.T) {
	t.Parallel()
	bustest.Each(t, func(t *testing.T, b *bustest.Broker) {
		w := newWorld(t, b, nil)
		want := payments.Payment{OrderID: "o", PaymentID: "ch_" + chargeKey("o"), Status: payments.Authorized, Amount: amount, Version: 1}
		say := func(p payments.Payment, err error) {
			t.Helper()
			check(t, err)
			if diff := cmp.Diff(want, p); diff != "" {
				t.Error(diff)
			}
		}
		if _, err := w.get("o"); !errors.Is(err, payments.ErrUnknown) {
			t.Errorf("get: %v", err)
		}
		if _, err := w.do(payments.Capture, "o"); !errors.Is(err, payments.ErrUnknown) {
			t.Errorf("capture of nothing: %v", err)
		}
		say(w.authorize("o", wire.TokenOK))
		say(w.authorize("o", wire.TokenOK))
		if _, err := w.refund("o", "", 0); !errors.Is(err, payments.ErrNotCaptured) {
			t.Errorf("refund: %v", err)
		}
		want.Status, want.Captured, want.Version = payments.Captured, amount, 2
		say(w.do(payments.Capture, "o"))
		say(w.do(payments.Capture, "o"))
		if _, err := w.do(payments.Void, "o"); !errors.Is(err, payments.ErrCaptured) {
			t.Errorf("void: %v", err)
		}
		want.Status, want.Refunded, want.Version = payments.Refunded, amount, 3
		say(w.refund("o", "", 0))
		say(w.refund("o", "", 0))
		say(w.authorize("o", wire.TokenOK))
		say(w.get("o"))
		if c := w.charge("o"); c != wire.ChargeRefunded {
			t.Errorf("the provider says %s", c)
		}
	}, bustest.WithServices(wire.Provider, payments.Descriptor))
}

func TestFiftyAuthorizationsChargeOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, server(t), nil)
	w.serve(nil) // a second process
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if p, err := w.authorize("o", wire.TokenOK); err != nil || p.Status != payments.Authorized || p.Version != 1 {
				t.Errorf("%+v, %v", p, err)
			}
		})
	}
	wg.Wait()
	if n := w.charges(); n != 1 {
		t.Errorf("%d charges", n)
	}
}

func TestTokens(t *testing.T) {
	t.Parallel()
	w := newWorld(t, server(t), nil)
	for range 2 {
		if p, err := w.authorize("declined", wire.TokenDeclined); err != nil || p.Status != payments.Declined || p.Reason != "card_declined" || p.Version != 1 {
			t.Errorf("declined: %+v, %v", p, err)
		}
	}
	if _, err := w.do(payments.Capture, "declined"); !errors.Is(err, payments.ErrDeclined) {
		t.Errorf("capture: %v", err)
	}
	if p, err := w.do(payments.Void, "declined"); err != nil || p.Status != payments.Declined {
		t.Errorf("void: %+v, %v", p, err)
	}
	if p, err := w.authorize("flaky", wire.TokenFlaky); err != nil || p.Status != payments.Authorized {
		t.Errorf("flaky: %+v, %v", p, err)
	}
	if p, err := w.authorize("timeout", wire.TokenTimeout); err != nil || p.Status != payments.Authorized {
		t.Errorf("timeout: %+v, %v", p, err)
	}
	if n := w.charges(); n != 3 {
		t.Errorf("%d charges for three orders", n)
	}
}

func TestAVoidLeavesNothingReserved(t *testing.T) {
	t.Parallel()
	w := newWorld(t, server(t), nil)
	for _, order := range []string{"before", "after"} {
		if order == "after" {
			_, err := w.authorize(order, wire.TokenOK)
			check(t, err)
		}
		for range 2 {
			if p, err := w.do(payments.Void, order); err != nil || p.Status != payments.Voided {
				t.Errorf("void %s: %+v, %v", order, p, err)
			}
		}
		if _, err := w.authorize(order, wire.TokenOK); !errors.Is(err, payments.ErrVoided) {
			t.Errorf("authorize %s: %v", order, err)
		}
		if _, err := w.do(payments.Capture, order); !errors.Is(err, payments.ErrVoided) {
			t.Errorf("capture %s: %v", order, err)
		}
	}
	if c := w.charge("before"); c != "" {
		t.Errorf("a void order was charged: %s", c)
	}
	if c := w.charge("after"); c != wire.ChargeVoided {
		t.Errorf("the provider says %s", c)
	}
}

func TestWhatDoesNotFitIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, server(t), nil)
	request := payments.AuthorizePayment{OrderID: "o", Amount: amount, Reference: w.sealer.Seal(wire.TokenOK, "another")}
	if _, err := rpc.Call(t.Context(), w.client, payments.Authorize, request); !errors.Is(err, payments.ErrReference) {
		t.Errorf("the reference of another order: %v", err)
	}
	if n := w.charges(); n != 0 {
		t.Errorf("%d charges", n)
	}
	_, err := w.authorize("o", wire.TokenOK)
	check(t, err)
	request = payments.AuthorizePayment{OrderID: "o", Amount: money.New(1, "EUR"), Reference: w.sealer.Seal(wire.TokenOK, "o")}
	if _, err := rpc.Call(t.Context(), w.client, payments.Authorize, request); !errors.Is(err, payments.ErrDiffers) {
		t.Errorf("another amount: %v", err)
	}
}

func TestTheSealingKeyIsMadeOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, server(t), nil)
	first := w.key()
	stop := w.serve(nil)
	w.stop()
	if second := w.key(); second != first {
		t.Errorf("another process has another key: %+v, %+v", first, second)
	}
	stop()
	w.serve(nil)
	if third := w.key(); third != first {
		t.Errorf("a restart makes another key: %+v, %+v", first, third)
	}
}

func TestDerivedPermissionsAreEnough(t *testing.T) {
	t.Parallel()
	users := []natsd.User{{Name: "admin", Admin: true}}
	for _, s := range []contract.Service{wire.Provider, payments.Descriptor} {
		allowed := s.Permissions(contract.Development)
		users = append(users, natsd.User{
			Name: s.Name, Password: "p", Publish: allowed.Publish, Subscribe: allowed.Subscribe, AllowResponses: allowed.Responses,
		})
	}
	b := bustest.Server(t, bustest.WithServices(wire.Provider, payments.Descriptor),
		bustest.WithServer(natsd.Config{DefaultUser: "admin", Users: users}))
	dial := func(service string) *bus.Conn {
		conn := b.Dial(t, bustest.WithService(service), bustest.WithUser(service, "p"))
		t.Cleanup(conn.WatchDenied(func(d bus.Denied) { t.Error(d) }))
		return conn
	}
	p, err := sandbox.NewProvider(dial("provider"), sandbox.ProviderConfig{})
	check(t, err)
	bustest.Run(t, p)
	s, err := New(dial("payments"), Config{})
	check(t, err)
	bustest.Run(t, s)
	w := &world{t: t, broker: b, conn: b.Dial(t), client: rpc.NewClient(b.Dial(t))}
	w.sealer, err = sealed.NewSealer(w.key())
	check(t, err)
	for _, step := range []func() (payments.Payment, error){
		func() (payments.Payment, error) { return w.authorize("o", wire.TokenOK) },
		func() (payments.Payment, error) { return w.authorize("o", wire.TokenOK) },
		func() (payments.Payment, error) { return w.do(payments.Capture, "o") },
		func() (payments.Payment, error) { return w.refund("o", "", 0) },
	} {
		if _, err := step(); err != nil {
			t.Error(err)
		}
	}
}

// TestCustomersAreNotAnswered: the payment knows no customers, so whoever acts for one gets
// to see nothing, also of the customer's own.
func TestCustomersAreNotAnswered(t *testing.T) {
	t.Parallel()
	w := newWorld(t, server(t), nil)
	_, err := w.authorize("o", wire.TokenOK)
	check(t, err)
	customer := telemetry.WithActor(t.Context(), contract.Actor{Who: "gateway", For: "c2"})
	if _, err := rpc.Call(customer, w.client, payments.Get, payments.GetPayment{OrderID: "o"}); !errors.Is(err, payments.ErrUnknown) {
		t.Errorf("a customer asks: %v", err)
	}
	if _, err := w.get("o"); err != nil {
		t.Errorf("a service asks: %v", err)
	}
}
