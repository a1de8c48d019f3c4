package sandbox_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/config"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/rpc"
	"github.com/ordermesh/ordermesh/contracts/money"
	wire "github.com/ordermesh/ordermesh/contracts/sandbox"
	"github.com/ordermesh/ordermesh/services/sandbox"
)

func TestMain(m *testing.M) { bustest.Main(m) }

const patience = 20 * time.Second

var (
	amount = money.New(1299, "EUR")
	books  = bustest.WithServices(wire.Provider, wire.Carrier)
)

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func provider(t testing.TB, conn *bus.Conn, cfg sandbox.ProviderConfig) (stop func()) {
	t.Helper()
	p, err := sandbox.NewProvider(conn, cfg)
	check(t, err)
	return bustest.Run(t, p)
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
		back := wire.RefundCharge{ChargeID: "ch_k"}
		if _, err := rpc.Call(ctx, client, wire.Refund, back); !errors.Is(err, wire.ErrNotRefund) {
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
		want.Status, want.Refunds = wire.ChargeRefunded, []wire.ChargeRefund{{Amount: amount}}
		for range 2 {
			got, err := rpc.Call(ctx, client, wire.Refund, back)
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
	provider(t, b.Dial(t, bustest.WithService("provider")), sandbox.ProviderConfig{Settings: config.Fixed(wire.ProviderSettings{Latency: 30 * time.Millisecond})})
	begin := time.Now()
	if _, err := rpc.Call(t.Context(), patient(b.Dial(t)), wire.Authorize, charge("k", wire.TokenOK)); err != nil || time.Since(begin) < 30*time.Millisecond {
		t.Errorf("answered after %v, %v", time.Since(begin), err)
	}
}
