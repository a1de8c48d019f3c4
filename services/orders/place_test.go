package orders_test

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/rpc"
	"github.com/ordermesh/ordermesh/bus/telemetry"
	"github.com/ordermesh/ordermesh/contracts/line"
	"github.com/ordermesh/ordermesh/contracts/money"
	wire "github.com/ordermesh/ordermesh/contracts/orders"
	"github.com/ordermesh/ordermesh/contracts/payments"
)

func TestTheSameKeyGivesOneOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	replies := make([]wire.Order, 50)
	var wg sync.WaitGroup
	for i := range replies {
		wg.Go(func() {
			o, err := rpc.Call(t.Context(), w.client, wire.Place, request("c1", "tok_ok"), rpc.WithCommandID("key-1"))
			if err != nil {
				t.Error(err)
			}
			replies[i] = o
		})
	}
	wg.Wait()
	for _, o := range replies {
		if diff := cmp.Diff(replies[0], o); diff != "" {
			t.Fatalf("two answers: %s", diff)
		}
	}
	if want := wire.DeriveID(contract.Actor{}, "key-1"); replies[0].OrderID != want {
		t.Errorf("order %s, want %s", replies[0].OrderID, want)
	}
	w.reaches(t, replies[0].OrderID, wire.Shipped)
	w.mu.Lock()
	w.products = nil // no product has a price any more
	w.mu.Unlock()
	if diff := cmp.Diff(replies[0], w.place(t, request("c1", "tok_ok"), rpc.WithCommandID("key-1"))); diff != "" {
		t.Errorf("after the order went on, the same request is answered differently: %s", diff)
	}
	_, err := rpc.Call(t.Context(), w.client, wire.Place, request("c2", "tok_ok"), rpc.WithCommandID("key-1"))
	if !errors.Is(err, wire.ErrKeyReused) {
		t.Errorf("another request under the key: %v", err)
	}
	if got := len(w.messages(t)); got != 4 {
		t.Errorf("%d messages in the order's stream, want 4", got)
	}
}

// messages are the subjects of everything in the stream of orders.
func (w *world) messages(t *testing.T) []string {
	t.Helper()
	stream, err := w.conn.JetStream().Stream(t.Context(), wire.Events.Info().Stream)
	if err != nil {
		t.Fatal(err)
	}
	var subjects []string
	for seq := uint64(1); seq <= stream.CachedInfo().State.LastSeq; seq++ {
		m, err := stream.GetMsg(t.Context(), seq)
		if err != nil {
			t.Fatal(err)
		}
		subjects = append(subjects, m.Subject)
	}
	return subjects
}

// An instance that saw that there is no order must find the one that another instance
// has placed since, also when the catalog would refuse it by now.
func TestARetryFindsWhatAnotherInstancePlaced(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	shelf := w.products
	sell := func(open bool) {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.products = nil; open {
			w.products = shelf
		}
	}
	sell(false)
	const orders = 24 // each met by one instance and then by the other, in some order
	for i := range orders {
		for range 4 { // both look and remember that there is no such order
			if _, err := rpc.Call(t.Context(), w.client, wire.Place, request("c1", "tok_ok"), rpc.WithCommandID(key(i))); !errors.Is(err, wire.ErrProduct) {
				t.Fatalf("without products: %v", err)
			}
		}
	}
	sell(true)
	placed := make([]wire.Order, orders)
	for i := range placed {
		placed[i] = w.place(t, request("c1", "tok_ok"), rpc.WithCommandID(key(i)))
	}
	sell(false)
	for i := range placed {
		if diff := cmp.Diff(placed[i], w.place(t, request("c1", "tok_ok"), rpc.WithCommandID(key(i)))); diff != "" {
			t.Errorf("order %d is answered differently: %s", i, diff)
		}
	}
}

func key(i int) string { return "key-" + strconv.Itoa(i) }

func TestTheSameOrderIDGivesOneOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	req := request("c1", "tok_ok")
	req.OrderID = "my-order_1"
	first := w.place(t, req)
	if diff := cmp.Diff(first, w.place(t, req)); diff != "" || first.OrderID != "my-order_1" {
		t.Errorf("order %s: %s", first.OrderID, diff)
	}
	req.Payment.Token = "tok_other"
	if _, err := rpc.Call(t.Context(), w.client, wire.Place, req); !errors.Is(err, wire.ErrKeyReused) {
		t.Errorf("another token under the id: %v", err)
	}
	if a, b := w.place(t, request("c1", "tok_ok")), w.place(t, request("c1", "tok_ok")); a.OrderID == b.OrderID {
		t.Error("two requests without id and key gave one order")
	}
}

func TestWhatCannotBeOrdered(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	for name, c := range map[string]struct {
		lines []line.Line
		want  error
		field string
	}{
		"unknown product":  {[]line.Line{{SKU: "TEA-001", Quantity: 1}, {SKU: "NO", Quantity: 1}}, wire.ErrProduct, "/lines/1/sku"},
		"inactive product": {[]line.Line{{SKU: "OLD-001", Quantity: 1}}, wire.ErrInactive, "/lines/0/sku"},
		"two currencies":   {[]line.Line{{SKU: "TEA-001", Quantity: 1}, {SKU: "USD-001", Quantity: 1}}, money.ErrMixed, "/lines/1"},
		"overflow":         {[]line.Line{{SKU: "MAX-001", Quantity: 2}}, money.ErrOverflow, "/lines/0"},
		"quantity 0":       {[]line.Line{{SKU: "TEA-001"}}, line.ErrQuantity, "/lines/0/quantity"},
	} {
		_, err := rpc.Call(t.Context(), w.client, wire.Place, request("c1", "tok_ok", c.lines...))
		var e *contract.Error
		if !errors.As(err, &e) || !errors.Is(err, c.want) || e.Code != contract.Unprocessable || e.Field != c.field {
			t.Errorf("%s: %v, want %v at %s", name, err, c.want, c.field)
		}
	}
	if got := w.messages(t); len(got) != 0 {
		t.Errorf("something was written: %v", got)
	}
}

func TestWithoutACatalogNothingIsPlaced(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.before("catalog.find", func(context.Context, string) error { return contract.ErrUnavailable })
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if o, err := rpc.Call(ctx, w.client, wire.Place, request("c1", "tok_ok")); err == nil {
		t.Errorf("without a catalog there is an order: %+v", o)
	}
	if got := w.messages(t); len(got) != 0 {
		t.Errorf("something was written: %v", got)
	}
}

func TestCustomersSeeTheirOwnOrdersOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	mine := telemetry.WithActor(t.Context(), contract.Actor{Who: "gateway", For: "c1"})
	theirs := telemetry.WithActor(t.Context(), contract.Actor{Who: "gateway", For: "c2"})
	o, err := rpc.Call(mine, w.client, wire.Place, request("c1", "tok_ok"), rpc.WithCommandID("k"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := rpc.Call(mine, w.client, wire.Get, wire.GetOrder{OrderID: o.OrderID}); err != nil {
		t.Errorf("my own order: %v", err)
	}
	for name, call := range map[string]func() error{
		"get": func() error {
			_, err := rpc.Call(theirs, w.client, wire.Get, wire.GetOrder{OrderID: o.OrderID})
			return err
		},
		"wait": func() error {
			_, err := rpc.Call(theirs, w.client, wire.Get, wire.GetOrder{OrderID: o.OrderID, MinVersion: 1})
			return err
		},
		"cancel": func() error {
			_, err := rpc.Call(theirs, w.client, wire.Cancel, wire.CancelOrder{OrderID: o.OrderID, Reason: "no"})
			return err
		},
		"cancel a stranger's": func() error {
			_, err := rpc.Call(theirs, w.client, wire.Cancel, wire.CancelOrder{OrderID: "unknown", Reason: "no"})
			return err
		},
	} {
		if err := call(); !errors.Is(err, wire.ErrUnknown) {
			t.Errorf("%s: %v, want %v", name, err, wire.ErrUnknown)
		}
	}
	if _, err := rpc.Call(theirs, w.client, wire.Place, request("c1", "tok_ok")); !errors.Is(err, wire.ErrCustomer) {
		t.Errorf("placing for somebody else: %v", err)
	}
	other, err := rpc.Call(theirs, w.client, wire.Place, request("c2", "tok_ok"), rpc.WithCommandID("k"))
	if err != nil || other.OrderID == o.OrderID {
		t.Errorf("the same key of another customer: order %s, %v", other.OrderID, err)
	}
}

func TestGetWaitsForAVersion(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	hold := make(chan struct{})
	w.before("payments.authorize", func(ctx context.Context, _ string) error {
		select {
		case <-hold:
		case <-ctx.Done():
		}
		return ctx.Err()
	})
	order := w.place(t, request("c1", "tok_ok")).OrderID
	_, err := rpc.Call(t.Context(), w.client, wire.Get, wire.GetOrder{OrderID: order, MinVersion: 2}, rpc.WithTimeout(patience/10))
	if e := contract.AsError(err); e.Code != contract.Deadline {
		t.Errorf("before its time: %v", err)
	}
	waiting := make(chan wire.Order)
	go func() {
		o, err := rpc.Call(t.Context(), w.client, wire.Get, wire.GetOrder{OrderID: order, MinVersion: 4}, rpc.WithTimeout(patience))
		if err != nil {
			t.Error(err)
		}
		waiting <- o
	}()
	close(hold)
	if o := <-waiting; o.Version < 4 || o.Status != wire.Shipped {
		t.Errorf("version %d, %s", o.Version, o.Status)
	}
	if _, err := rpc.Call(t.Context(), w.client, wire.Get, wire.GetOrder{OrderID: "unknown", MinVersion: 1}); !errors.Is(err, wire.ErrUnknown) {
		t.Errorf("an order that does not exist: %v", err)
	}
}

func TestCancelling(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.before("payments.authorize", func(ctx context.Context, _ string) error { return contract.ErrUnavailable })
	order := w.place(t, request("c1", "tok_ok")).OrderID
	first, err := rpc.Call(t.Context(), w.client, wire.Cancel, wire.CancelOrder{OrderID: order, Reason: "changed my mind"})
	if err != nil || first.Status != wire.Cancelled || first.Reason != "changed my mind" || first.Version != 2 {
		t.Errorf("cancelled: %+v, %v", first, err)
	}
	again, err := rpc.Call(t.Context(), w.client, wire.Cancel, wire.CancelOrder{OrderID: order, Reason: "really"})
	if diff := cmp.Diff(first, again); err != nil || diff != "" {
		t.Errorf("cancelled again: %v %s", err, diff)
	}
	if _, err := rpc.Call(t.Context(), w.client, wire.Cancel, wire.CancelOrder{OrderID: "unknown", Reason: "no"}); !errors.Is(err, wire.ErrUnknown) {
		t.Errorf("cancelling what does not exist: %v", err)
	}
	w.before("payments.authorize", nil)
	w.gaveBack(t, order, "released", payments.Voided)
}
