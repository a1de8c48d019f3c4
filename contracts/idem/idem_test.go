package idem_test

import (
	"testing"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/contracts/idem"
)

func TestIDsBelongToCallerMethodAndKey(t *testing.T) {
	t.Parallel()
	place := contract.MethodInfo{Service: "orders", Name: "place"}
	shop := contract.Actor{Who: "gateway", For: "c1"}
	first := idem.ID(shop, place, "key-1")
	shop.Scopes, shop.Request = []string{"orders"}, "r2"
	if again := idem.ID(shop, place, "key-1"); again != first {
		t.Errorf("another request of the same caller gives %s, not %s", again, first)
	}
	seen := map[string]bool{}
	for _, id := range []string{
		first,
		idem.ID(shop, place, "key-2"),
		idem.ID(shop, place, "key-1", "body"),
		idem.ID(shop, place, "key-1body"),
		idem.ID(shop, contract.MethodInfo{Service: "orders", Name: "cancel"}, "key-1"),
		idem.ID(contract.Actor{Who: "gateway", For: "c2"}, place, "key-1"),
		idem.ID(contract.Actor{Who: "gatewayc", For: "1"}, place, "key-1"),
		idem.ID(contract.Actor{}, place, "key-1"),
		idem.Fresh(), idem.Fresh(),
	} {
		if seen[id] || !contract.ValidID(id) || len(id) != idem.Length {
			t.Errorf("%s is no id of its own", id)
		}
		seen[id] = true
	}
}

func TestCommand(t *testing.T) {
	t.Parallel()
	type request struct {
		N int `json:"n"`
	}
	put := contract.MethodInfo{Service: "catalog", Name: "put"}
	name := func(key string, req any) string {
		id, err := idem.Command(contract.Actor{}, put, key, req)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	if id := name("", request{1}); id != "" {
		t.Errorf("without a key the command is %q", id)
	}
	first, again := name("k", request{1}), name("k", request{1})
	if first != again || first == name("k", request{2}) || first == name("l", request{1}) {
		t.Error("a command is not named after its key and request")
	}
	if _, err := idem.Command(contract.Actor{}, put, "k", func() {}); err == nil {
		t.Error("a request that is no JSON has a name")
	}
}
