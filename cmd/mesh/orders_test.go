package main

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/contracts/flows"
	"github.com/ordermesh/ordermesh/contracts/money"
	"github.com/ordermesh/ordermesh/contracts/orders"
	"github.com/ordermesh/ordermesh/contracts/sandbox"
)

// reaches waits until an order has a status.
func (s shop) reaches(id string, status orders.Status) orders.Order {
	s.t.Helper()
	var o orders.Order
	bustest.Eventually(s.t, patience, func() bool { o = s.order(id); return o.Status == status }, id, " to be ", status)
	return o
}

func (s shop) order(id string) orders.Order {
	s.t.Helper()
	return decode[orders.Order](s.t, s.must("orders.get", fmt.Sprintf(`{"order_id":%q}`, id)))
}

// TestOrdersThatPeopleDecide: orders over a limit wait for a person, who lets them go on
// or not; at rest the mesh is clean with one still waiting.
func TestOrdersThatPeopleDecide(t *testing.T) {
	t.Parallel()
	mesh := launchMeshWith(t, []string{"MESH_ORDERS_HOLD_OVER=2000"}, devArgs("--ephemeral")...)
	mesh.awaitReady()
	s := mesh.shop()
	small := s.place(orderJSON("TEA-001", 1, "tok_ok")).OrderID
	var held []string
	for range 4 {
		held = append(held, s.place(sampleOrder).OrderID)
	}
	for _, id := range held {
		s.reaches(id, orders.OnHold)
	}
	decision := func(i int) string { return fmt.Sprintf(`{"order_id":%q,"reason":"looked at it"}`, held[i]) }
	s.must("orders.approve", decision(0))
	s.must("orders.reject", decision(1))
	s.must("orders.cancel", decision(2))
	const approvedLife = "placed held approved confirmed dispatched shipped delivered"
	if o := s.ended(held[0]); o.Status != orders.Delivered || types(o) != approvedLife {
		t.Errorf("approved: %s, %s", o.Status, types(o))
	}
	if o := s.ended(held[1]); o.Status != orders.Cancelled || o.Reason != orders.ReasonRejected {
		t.Errorf("rejected: %s %q", o.Status, o.Reason)
	}
	if o := s.ended(held[2]); o.Status != orders.Cancelled || o.Reason != "looked at it" {
		t.Errorf("cancelled: %s %q", o.Status, o.Reason)
	}
	if o := s.ended(small); o.Status != orders.Delivered || o.Hold != nil {
		t.Errorf("below the limit: %s, hold %+v", o.Status, o.Hold)
	}
	if o := s.order(held[3]); o.Status != orders.OnHold {
		t.Errorf("the last one is %s", o.Status)
	}
	comesToRest(t, mesh.note.NATS)
	s.must("flows.cancel", fmt.Sprintf(`{"service":"orders","flow":"checkout","id":%q,"reason":"stop"}`, held[3]))
	if o := s.ended(held[3]); o.Status != orders.Cancelled {
		t.Errorf("an order whose checkout was stopped is %s", o.Status)
	}
	comesToRest(t, mesh.note.NATS)
}

// TestRefundsAndReconciliation gives money back and then compares the books by hand, as
// the schedule does at night: first they agree, then somebody has charged for nothing.
func TestRefundsAndReconciliation(t *testing.T) {
	t.Parallel()
	mesh := startMesh(t, devArgs("--ephemeral")...)
	s := mesh.shop()
	id := s.ended(s.place(sampleOrder).OrderID).OrderID
	gone := s.ended(s.place(orderJSON("TEA-001", 1, "tok_declined")).OrderID).OrderID
	s.settled(gone)
	part := fmt.Sprintf(`{"order_id":%q,"amount":{"amount":1000,"currency":"EUR"},"reason":"late"}`, id)
	for range 2 {
		s.must("orders.refund", part, "Idempotency-Key", "k1")
	}
	s.must("orders.refund", fmt.Sprintf(`{"order_id":%q,"reason":"broken"}`, id))
	bustest.Eventually(t, patience, func() bool { return s.order(id).Refunded == money.New(2598, "EUR") }, "both refunds")
	if _, refusal := s.ask("orders.refund", part); refusal == nil || refusal.Code != contract.FailedPrecondition {
		t.Errorf("a refund of nothing: %v", refusal)
	}
	comesToRest(t, mesh.note.NATS)

	if found := s.reconcile("by-hand-1"); len(found) != 0 {
		t.Errorf("the books agree, and yet: %v", found)
	}
	js, err := jetstream.New(s.nc)
	if err != nil {
		t.Fatal(err)
	}
	book, err := js.KeyValue(t.Context(), sandbox.ProviderBook)
	if err != nil {
		t.Fatal(err)
	}
	charge, err := contract.Marshal(sandbox.ChargeRecord{ChargeID: "ch_x", Key: "x", OrderID: gone, Amount: money.New(1299, "EUR"), Status: sandbox.ChargeAuthorized})
	if err != nil {
		t.Fatal(err)
	}
	parcel, err := contract.Marshal(sandbox.ParcelRecord{TrackingID: "tr_x", OrderID: "nobody"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := book.Create(t.Context(), sandbox.ChargeKeyIn("x"), charge); err != nil {
		t.Fatal(err)
	}
	carrier, err := js.KeyValue(t.Context(), sandbox.CarrierBook)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := carrier.Create(t.Context(), sandbox.ParcelKeyIn("nobody"), parcel); err != nil {
		t.Fatal(err)
	}
	want := []string{gone + " provider a charge beside the order's own: ch_x", "nobody carrier a parcel of no order"}
	if diff := cmp.Diff(want, s.reconcile("by-hand-2")); diff != "" {
		t.Error(diff)
	}
}

// reconcile starts a reconciliation and returns the differences that it found.
func (s shop) reconcile(id string) []string {
	s.t.Helper()
	ref := fmt.Sprintf(`{"service":"orders","flow":"reconcile","id":%q`, id)
	s.must("flows.start", ref+`,"input":{"settle_ms":1}}`)
	var in flows.Instance
	bustest.Eventually(s.t, patience, func() bool {
		in = decode[flows.Instance](s.t, s.must("flows.get", ref+"}"))
		return in.Status.Ended()
	}, "the reconciliation to end")
	result := decode[struct {
		Compared    int `json:"compared"`
		Differences []struct {
			OrderID string `json:"order_id"`
			Book    string `json:"book"`
			Text    string `json:"text"`
		} `json:"differences"`
	}](s.t, in.Result)
	if in.Status != flows.Completed || result.Compared < 5 {
		s.t.Errorf("%s, %s", in.Status, in.Result)
	}
	var found []string
	for _, d := range result.Differences {
		found = append(found, d.OrderID+" "+d.Book+" "+d.Text)
	}
	return found
}
