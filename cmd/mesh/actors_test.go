package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/contracts/inventory"
	"github.com/ordermesh/ordermesh/contracts/orders"
	"github.com/ordermesh/ordermesh/contracts/payments"
	"github.com/ordermesh/ordermesh/contracts/sandbox"
	"github.com/ordermesh/ordermesh/contracts/shipping"
)

// foreignCall is a method, and what a customer gets for asking about another's order.
type foreignCall struct {
	method contract.MethodInfo
	body   string // %s is the order's id
	reason string // of the refusal; "" for an answer in which nothing of the order is
}

// foreignCalls are all methods by which somebody can learn of an order or change it.
var foreignCalls = []foreignCall{
	{orders.Get.Info(), `{"order_id":"%s"}`, "order_not_found"},
	{orders.Get.Info(), `{"order_id":"%s","min_version":1}`, "order_not_found"},
	{orders.Get.Info(), `{"order_id":"%s","min_version":999}`, "order_not_found"},
	{orders.Cancel.Info(), `{"order_id":"%s","reason":"mine now"}`, "order_not_found"},
	{orders.Approve.Info(), `{"order_id":"%s","reason":"mine now"}`, "staff_only"},
	{orders.Reject.Info(), `{"order_id":"%s","reason":"mine now"}`, "staff_only"},
	{orders.Refund.Info(), `{"order_id":"%s","reason":"mine now"}`, "staff_only"},
	{orders.List.Info(), `{"customer_id":"alice"}`, ""},
	{orders.List.Info(), `{}`, ""},
	{orders.Report.Info(), `{"customer_id":"alice"}`, ""},
	{orders.Report.Info(), `{}`, ""},
	{payments.Get.Info(), `{"order_id":"%s"}`, "payment_not_found"},
	{payments.List.Info(), `{}`, ""},
	{payments.Charges.Info(), `{"order_id":"%s"}`, ""},
	{payments.Charges.Info(), `{}`, ""},
	{shipping.Get.Info(), `{"order_id":"%s"}`, "shipment_not_found"},
	{shipping.List.Info(), `{}`, ""},
	{shipping.Parcels.Info(), `{"order_id":"%s"}`, ""},
	{shipping.Parcels.Info(), `{}`, ""},
	{flowMethod("start"), `{"service":"orders","flow":"checkout","id":"%s","input":{}}`, "flows_are_internal"},
	{flowMethod("get"), `{"service":"orders","flow":"checkout","id":"%s"}`, "flows_are_internal"},
	{flowMethod("list"), `{"service":"orders"}`, "flows_are_internal"},
	{flowMethod("cancel"), `{"service":"orders","flow":"checkout","id":"%s","reason":"mine now"}`, "flows_are_internal"},
	{flowMethod("signal"), `{"service":"orders","flow":"checkout","id":"%s","signal":"approval","signal_id":"s1"}`, "flows_are_internal"},
	{flowMethod("retry"), `{"service":"orders","flow":"checkout","id":"%s"}`, "flows_are_internal"},
}

func flowMethod(name string) contract.MethodInfo {
	return contract.MethodInfo{Service: "flows", Name: name, Version: 1}
}

// TestForeignCustomersLearnNothing: who acts for mallory asks every service about alice's
// order; the answer is the same as for an order that does not exist, and the order is
// untouched.
func TestForeignCustomersLearnNothing(t *testing.T) {
	t.Parallel()
	mesh := startMesh(t, "dev", "--ephemeral", "--seed=false", "--nats-port", "0", "--http", "")
	s := mesh.shop()
	s.stock("TEA-001", 1299, 5)
	placed := s.place(strings.Replace(orderJSON("TEA-001", 2, "tok_ok"), `"c1"`, `"alice"`, 1))
	if placed.CustomerID != "alice" {
		t.Fatalf("the order is of %s", placed.CustomerID)
	}
	before := s.ended(placed.OrderID)
	mallory := contract.Actor{Who: "gateway", For: "mallory"}.Encode()
	for _, c := range foreignCalls {
		call := func(id string) (string, string) {
			text := c.body
			if strings.Contains(text, "%s") {
				text = fmt.Sprintf(text, id)
			}
			answer, refusal := s.ask(c.method.FullName(), text, contract.HeaderActor, mallory)
			if refusal != nil {
				return "", refusal.Reason + ": " + refusal.Message
			}
			return string(answer), ""
		}
		answer, refusal := call(placed.OrderID)
		reason, _, _ := strings.Cut(refusal, ":")
		if reason != c.reason {
			t.Errorf("%s %s: refused with %q, want %q; answered %s", c.method.FullName(), c.body, refusal, c.reason, answer)
		}
		for _, leak := range []string{placed.OrderID, "alice", "TEA-001", "1299"} {
			if strings.Contains(answer, leak) || strings.Contains(refusal, leak) {
				t.Errorf("%s %s leaks %q: %s %s", c.method.FullName(), c.body, leak, answer, refusal)
			}
		}
		if other, unknown := call("no-such-order"); unknown != refusal || strings.Contains(c.body, "%s") && other != answer {
			t.Errorf("%s %s: another's order answers %q %q, none answers %q %q", c.method.FullName(), c.body, answer, refusal, other, unknown)
		}
	}
	if after := s.ended(placed.OrderID); after.Version != before.Version {
		t.Errorf("the order went from version %d to %d", before.Version, after.Version)
	}
	if answer, refusal := s.ask("orders.get", fmt.Sprintf(`{"order_id":%q}`, placed.OrderID), contract.HeaderActor, contract.Actor{For: "alice"}.Encode()); refusal != nil {
		t.Errorf("alice cannot see her own order: %v %s", refusal, answer)
	}
}

// TestInnerMethodsAreForServices: the methods that move money, goods and stock take an
// order's id and believe who calls, because a checkout calls them for its customer. So it
// is the NATS permissions that keep everybody else away; and every method of the services
// is either here or among those that look at the actor.
func TestInnerMethodsAreForServices(t *testing.T) {
	t.Parallel()
	inner := map[string][]string{ // who may call
		payments.Authorize.Info().FullName(): {"orders"}, payments.Capture.Info().FullName(): {"orders"},
		payments.Void.Info().FullName(): {"orders"}, payments.Refund.Info().FullName(): {"orders"},
		shipping.Create.Info().FullName(): {"orders"}, shipping.Cancel.Info().FullName(): nil,
		shipping.Track.Info().FullName(): {"orders"}, sandbox.Deliver.Info().FullName(): {"carrier"},
		inventory.Reserve.Info().FullName(): {"orders"}, inventory.Release.Info().FullName(): {"orders"}, inventory.Commit.Info().FullName(): {"orders"},
	}
	public := []string{ // of no customer
		"catalog.put", "catalog.get", "catalog.find", "catalog.list", "inventory.adjust", "inventory.get", "inventory.list",
		"payments.key", "orders.place",
	}
	checked := map[string]bool{}
	for _, c := range foreignCalls {
		checked[c.method.FullName()] = true
	}
	callers := map[string][]string{}
	for _, s := range descriptors(allServices()) {
		for _, m := range s.Calls {
			callers[m.FullName()] = append(callers[m.FullName()], s.Name)
		}
	}
	for _, s := range descriptors(allServices()) {
		if s.Name == "provider" || s.Name == "carrier" { // partners outside of the mesh
			continue
		}
		for _, m := range s.Serves {
			name := m.FullName()
			may, isInner := inner[name]
			switch {
			case !isInner && !checked[name] && !slices.Contains(public, name):
				t.Errorf("%s is neither held against foreign customers nor kept for services: add it to a table here", name)
			case isInner && !slices.Equal(callers[name], may):
				t.Errorf("%s may be called by %v, want %v", name, callers[name], may)
			}
		}
	}
}
