package main

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"

	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/policy"
	"github.com/ordermesh/ordermesh/cmd/mesh/chaos"
	"github.com/ordermesh/ordermesh/contracts/orders"
	"github.com/ordermesh/ordermesh/contracts/sandbox"
)

// outage is how long the provider fails, and what goes on meanwhile.
type outage struct {
	orders  int
	every   time.Duration // between two orders
	lasts   time.Duration
	policy  string // of payments.provider
	patient string // payments.patience
	opening int    // calls that a short outage does not weigh: those on their way until the breaker opens
}

func outageOf(scale chaos.Scale) outage {
	if scale == chaos.Short {
		return outage{60, 25 * time.Millisecond, 5 * time.Second, `{"breaker":{"open":"2s"}}`, "150ms", 30}
	}
	return outage{500, 40 * time.Millisecond, 45 * time.Second, `{}`, "2s", 0} // what is built in
}

// TestProviderOutage: while the provider answers errors, or nothing, orders wait, and it is
// asked a twentieth as often as without a breaker; when it is back they are delivered.
func TestProviderOutage(t *testing.T) {
	t.Parallel()
	o := outageOf(chaos.ScaleFromEnv())
	for _, trouble := range []sandbox.Trouble{sandbox.TroubleError, sandbox.TroubleHang} {
		t.Run(string(trouble), func(t *testing.T) {
			t.Parallel()
			mesh := startMesh(t, devArgs("--ephemeral", "--seed=false")...)
			s := mesh.shop()
			s.stock("A", 500, 10*o.orders)
			w := provider{shop: s, outage: o, trouble: trouble}
			w.put("config", "payments.patience", o.patient)
			w.put("config", "shipping.transit", "0s")
			const naively = `{"breaker":{"off":true},"bulkhead":{"off":true},"retry":{"reserve":100000}}`
			naive := w.fail(naively, naively, policy.NoBreak)
			guarded := w.fail(o.policy, `{}`, policy.Open)
			t.Logf("%d orders, the provider is away for %v: %d calls without a breaker, %d with one, %.1f %%", o.orders, o.lasts, naive, guarded, 100*float64(guarded)/float64(naive))
			if (guarded-o.opening)*20 > naive {
				t.Errorf("%d calls with a breaker, %d without", guarded, naive)
			}
			comesToRest(t, mesh.note.NATS)
		})
	}
}

// provider is a mesh whose provider fails at times.
type provider struct {
	shop
	outage
	trouble sandbox.Trouble
}

func (p provider) put(bucket, key, value string) uint64 {
	p.t.Helper()
	js, err := jetstream.New(p.nc)
	if err != nil {
		p.t.Fatal(err)
	}
	kv, err := js.KeyValue(p.t.Context(), bucket)
	if err != nil {
		p.t.Fatal(err)
	}
	revision, err := kv.PutString(p.t.Context(), key, value)
	if err != nil {
		p.t.Fatal(err)
	}
	return revision
}

// calls is how many requests the provider has had.
func (p provider) calls() (n int) {
	p.t.Helper()
	m, err := p.nc.Request("$SRV.STATS.provider", nil, patience)
	if err != nil {
		p.t.Fatal(err)
	}
	var stats micro.Stats
	if err := json.Unmarshal(m.Data, &stats); err != nil {
		p.t.Fatal(err)
	}
	for _, e := range stats.Endpoints {
		n += e.NumRequests
	}
	return n
}

// status is what the payments service tells of its calls of the provider.
func (p provider) status() (policy.Status, bool) {
	p.t.Helper()
	_, out := runMesh(p.t, "policy", "ls", "payments", "--json", "--nats", p.nc.ConnectedUrl())
	var list struct{ Lines []policy.Status }
	if err := contract.UnmarshalLenient([]byte(`{"Lines":`+out+`}`), &list); err != nil {
		return policy.Status{}, false
	}
	i := slices.IndexFunc(list.Lines, func(s policy.Status) bool { return s.Destination == "provider" })
	if i < 0 {
		return policy.Status{}, false
	}
	return list.Lines[i], true
}

// fail lets the provider fail under a policy, and one for the calls of payments itself,
// while orders come in, and returns how often it was called meanwhile. Nothing is lost by it.
func (p provider) fail(document, within string, breaker policy.State) (calls int) {
	p.t.Helper()
	p.put("policy", "orders.payments", within)
	revision := p.put("policy", "payments.provider", document)
	bustest.Eventually(p.t, patience, func() bool { s, ok := p.status(); return ok && s.Revision == revision }, "the policy")
	events := make(chan *nats.Msg, 64)
	sub, err := p.nc.ChanSubscribe("policy.breaker.payments.provider", events)
	if err != nil {
		p.t.Fatal(err)
	}
	defer sub.Unsubscribe()
	p.put("config", "provider.trouble", string(p.trouble))
	bustest.Eventually(p.t, patience, func() bool {
		_, refusal := p.ask("provider.query", `{"key":"nothing"}`, contract.HeaderTimeout, "50")
		return refusal != nil && refusal.Code != contract.NotFound
	}, "trouble")
	before, began := p.calls(), time.Now()
	tick := time.NewTicker(p.every)
	defer tick.Stop()
	var placed []string
	for range p.orders {
		placed = append(placed, p.place(orderJSON("A", 1, "tok_ok")).OrderID)
		<-tick.C
	}
	<-time.After(p.lasts - time.Since(began))
	calls = p.calls() - before
	if s, ok := p.status(); !ok || s.Breaker != breaker && s.Breaker != policy.HalfOpen {
		p.t.Errorf("the breaker is %q, not %s", s.Breaker, breaker)
	}
	if _, out := runMesh(p.t, "policy", "ls", "--nats", p.nc.ConnectedUrl()); !strings.Contains(out, "payments.provider") || !strings.Contains(out, "orders.catalog") {
		p.t.Errorf("mesh policy ls:\n%s", out)
	}
	if breaker == policy.Open && len(events) == 0 {
		p.t.Error("nobody was told that the breaker has opened")
	}
	for _, id := range placed {
		if o := p.order(id); o.Status != orders.Placed {
			p.t.Errorf("order %s is %s, not waiting", id, o.Status)
		}
	}
	p.put("config", "provider.trouble", string(sandbox.NoTrouble))
	for _, id := range placed {
		if o := p.ended(id); o.Status != orders.Delivered {
			p.t.Errorf("order %s is %s: %s", id, o.Status, o.Reason)
		}
	}
	return calls
}
