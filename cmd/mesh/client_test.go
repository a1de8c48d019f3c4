package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/contracts/inventory"
	"github.com/ordermesh/ordermesh/contracts/orders"
)

// shop is a client of the public wire: subjects and JSON, as the nats CLI sends them.
type shop struct {
	t  *testing.T
	nc *nats.Conn
}

func (c *child) shop() shop { return shop{c.t, c.connect()} }

// ask sends a request and returns the answer, or the error that the service
// answered. Headers come in pairs.
func (s shop) ask(method, body string, headers ...string) ([]byte, *contract.Error) {
	s.t.Helper()
	msg := &nats.Msg{Subject: "svc." + method, Data: []byte(body), Header: nats.Header{}}
	for i := 0; i+1 < len(headers); i += 2 {
		msg.Header[headers[i]] = []string{headers[i+1]}
	}
	reply, err := s.nc.RequestMsg(msg, patience)
	if err != nil {
		s.t.Errorf("%s %.80s: %v", method, body, err)
		return nil, contract.ErrInternal
	}
	if code := reply.Header.Get("Nats-Service-Error-Code"); code != "" {
		answer := contract.DecodeError(reply.Data, reply.Header.Get("Nats-Service-Error"))
		if code != fmt.Sprint(int(answer.Code)) || reply.Header.Get("Nats-Service-Error") == "" {
			s.t.Errorf("%s: headers %v and body %s do not say the same", method, reply.Header, reply.Data)
		}
		return nil, answer
	}
	return reply.Data, nil
}

// must is ask where a refusal fails the test.
func (s shop) must(method, body string, headers ...string) []byte {
	s.t.Helper()
	data, refusal := s.ask(method, body, headers...)
	if refusal != nil {
		s.t.Fatalf("%s %.200s: %v", method, body, refusal)
	}
	return data
}

// orderJSON is a request for one line.
func orderJSON(sku string, quantity int, token string) string {
	return fmt.Sprintf(`{"customer_id":"c1","lines":[{"sku":%q,"quantity":%d}],"payment":{"token":%q},`+
		`"ship_to":{"name":"Ada","line1":"1 Main St","city":"Berlin","postal_code":"10115","country":"DE"}}`, sku, quantity, token)
}

func (s shop) place(body string, headers ...string) orders.Order {
	s.t.Helper()
	return decode[orders.Order](s.t, s.must("orders.place", body, headers...))
}

// stock puts a product with stock into the catalog.
func (s shop) stock(sku string, cents, quantity int) {
	s.t.Helper()
	s.must("catalog.put", fmt.Sprintf(`{"sku":%q,"name":%q,"price":{"amount":%d,"currency":"EUR"}}`, sku, "Product "+sku, cents))
	s.must("inventory.adjust", fmt.Sprintf(`{"sku":%q,"delta":%d,"reason":"test"}`, sku, quantity))
}

func (s shop) stockOf(sku string) inventory.Stock {
	s.t.Helper()
	return decode[inventory.Stock](s.t, s.must("inventory.get", fmt.Sprintf(`{"sku":%q}`, sku)))
}

// ended waits until an order has come to its end, by asking for one version after
// the other.
func (s shop) ended(id string) orders.Order {
	s.t.Helper()
	deadline := time.Now().Add(patience)
	for next := uint64(1); ; {
		data, refusal := s.ask("orders.get", fmt.Sprintf(`{"order_id":%q,"min_version":%d}`, id, next), "Mesh-Timeout", "2000")
		if refusal == nil {
			order := decode[orders.Order](s.t, data)
			if order.Status == orders.Delivered || order.Status == orders.Cancelled {
				return order
			}
			next = order.Version + 1
		} else if refusal.Code.Refusal() {
			s.t.Fatalf("order %s: %v", id, refusal)
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("order %s has not ended: at version %d", id, next-1)
		}
	}
}

// comesToRest waits until `mesh verify --at-rest` finds nothing: what watches over an
// order ends a moment after the order.
func comesToRest(t *testing.T, url string) {
	t.Helper()
	rests(t, "--nats", url)
}

// rests is comesToRest with the flags by which a tool connects.
func rests(t *testing.T, tool ...string) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; {
		code, out := runMesh(t, append([]string{"verify", "--at-rest"}, tool...)...)
		if code == exitGood {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("mesh verify: exit code %d\n%s", code, out)
		}
	}
}

// types lists an order's history.
func types(o orders.Order) string {
	var list []string
	for _, change := range o.History {
		list = append(list, strings.TrimSuffix(strings.TrimPrefix(change.Type, "order."), ".v1"))
	}
	return strings.Join(list, " ")
}

func decode[T any](t *testing.T, data []byte) T {
	t.Helper()
	var v T
	if err := contract.Unmarshal(data, &v); err != nil {
		t.Fatalf("%s: %v", data, err)
	}
	return v
}
