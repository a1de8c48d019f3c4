package payments

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/rpc"
	"github.com/ordermesh/ordermesh/bus/telemetry"
	"github.com/ordermesh/ordermesh/contracts/page"
	"github.com/ordermesh/ordermesh/contracts/payments"
	wire "github.com/ordermesh/ordermesh/contracts/sandbox"
)

func TestListOfPayments(t *testing.T) {
	t.Parallel()
	w := newWorld(t, server(t), nil)
	authorize := func(order, token string) func() (payments.Payment, error) {
		return func() (payments.Payment, error) { return w.authorize(order, token) }
	}
	var last payments.Payment
	for _, step := range []func() (payments.Payment, error){
		authorize("o1", wire.TokenOK), authorize("o2", wire.TokenDeclined), authorize("o3", wire.TokenOK), authorize("o4", wire.TokenOK),
		func() (payments.Payment, error) { return w.do(payments.Capture, "o1") },
		func() (payments.Payment, error) { return w.do(payments.Void, "o3") },
		func() (payments.Payment, error) { return w.do(payments.Capture, "o4") },
		func() (payments.Payment, error) { return w.refund("o4", "r1", 100) },
		func() (payments.Payment, error) { return w.refund("o4", "", 0) },
	} {
		p, err := step()
		check(t, err)
		last = p
	}
	list := func(as contract.Actor, req payments.ListPayments) []payments.Payment {
		req.Reflects, req.Limit = &page.Reflects{ID: last.OrderID, Version: last.Version}, 1
		all := []payments.Payment{}
		for {
			answer, err := rpc.Call(telemetry.WithActor(t.Context(), as), w.client, payments.List, req)
			check(t, err)
			all = append(all, answer.Payments...)
			if req.Cursor = answer.NextCursor; req.Cursor == "" {
				return all
			}
		}
	}
	for status, want := range map[payments.Status][]string{
		"": {"o4", "o3", "o2", "o1"}, payments.Authorized: {}, payments.Declined: {"o2"}, payments.Captured: {"o1"},
		payments.Voided: {"o3"}, payments.Refunded: {"o4"},
	} {
		ids := []string{}
		for _, p := range list(contract.Actor{}, payments.ListPayments{Status: status}) {
			ids = append(ids, p.OrderID)
			one, err := rpc.Call(t.Context(), w.client, payments.Get, payments.GetPayment{OrderID: p.OrderID, MinVersion: p.Version})
			if diff := cmp.Diff(one, p); err != nil || diff != "" {
				t.Errorf("%s in the list: %v %s", p.OrderID, err, diff)
			}
		}
		if diff := cmp.Diff(want, ids); diff != "" {
			t.Errorf("status %q: %s", status, diff)
		}
	}
	if got := list(contract.Actor{Who: "gateway", For: "c1"}, payments.ListPayments{}); len(got) > 0 {
		t.Errorf("for a customer: %+v", got)
	}
	_, err := rpc.Call(t.Context(), w.client, payments.List, payments.ListPayments{Reflects: &page.Reflects{ID: "none", Version: 1}})
	if !errors.Is(err, payments.ErrUnknown) {
		t.Errorf("a list that has seen nothing: %v", err)
	}
}
