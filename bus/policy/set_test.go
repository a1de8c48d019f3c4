package policy_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/config"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/policy"
	"github.com/ordermesh/ordermesh/embedded/natsd"
)

const patience = time.Minute

var shop = contract.Service{
	Name: "shop",
	Policies: []contract.PolicyInfo{
		{Name: "bank", Kind: contract.PolicyCalls, Of: contract.CallsPartner, Doc: "the bank"},
		{Name: "acceptance", Kind: contract.PolicyRules, Doc: "rules"},
	},
}

// launch follows the document and tells of the calls, as the service's own user.
func launch(t *testing.T, b *bustest.Broker) *policy.Set {
	t.Helper()
	conn := b.Dial(t, bustest.WithService("shop"), bustest.WithUser("shop", "p"))
	stop := conn.WatchDenied(func(d bus.Denied) { t.Error(d) })
	set := policy.NewSet(conn, shop)
	base := policy.Partner()
	doc, err := config.NewDocument(conn, "shop.bank", func(data []byte) (policy.Calls, error) { return policy.Parse(data, base) }, base)
	if err != nil {
		t.Fatal(err)
	}
	set.Follow("bank", doc)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- set.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		stop()
	})
	return set
}

// TestLive: documents come into force while calls run; what is bad is refused, stays
// visible and leaves the last good one as it is; the breaker is told of, by event and
// report.
func TestLive(t *testing.T) {
	t.Parallel()
	allowed := shop.Permissions(contract.Production)
	b := bustest.Server(t, bustest.WithServices(shop), bustest.WithServer(natsd.Config{DefaultUser: "admin", Users: []natsd.User{
		{Name: "admin", Admin: true},
		{Name: "shop", Password: "p", Publish: allowed.Publish, Subscribe: allowed.Subscribe, AllowResponses: allowed.Responses},
	}}))
	set, admin := launch(t, b), b.Dial(t)
	events := make(chan *nats.Msg, 16)
	if _, err := admin.NATS().ChanSubscribe(contract.BreakerSubject("*", "*"), events); err != nil {
		t.Fatal(err)
	}
	if err := admin.NATS().Flush(); err != nil {
		t.Fatal(err)
	}
	kv, err := admin.JetStream().KeyValue(t.Context(), contract.PolicyKV)
	if err != nil {
		t.Fatal(err)
	}
	put := func(text string) uint64 {
		revision, err := kv.PutString(t.Context(), "shop.bank", text)
		if err != nil {
			t.Fatal(err)
		}
		return revision
	}
	bank := set.Executor("bank")
	runs := func(revision uint64, what string) {
		bustest.Eventually(t, patience, func() bool { return bank.Status().Revision == revision }, what)
	}
	good := put(`{"breaker":{"failures":2,"rate":0,"open":"1h"}}`)
	runs(good, "the first document")
	once(bank, errDown)
	once(bank, errDown)
	var event policy.Event
	if err := contract.Unmarshal((<-events).Data, &event); err != nil || event.State != policy.Open || event.Destination != "bank" || event.Reason == "" || event.Instance == "" {
		t.Errorf("%+v: %v", event, err)
	}
	store, err := config.OpenDocuments(t.Context(), admin)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"not JSON", `{"breaker":{"failures":"5"}}`, `{"breaker":{"failures":0}}`, `{"braker":{}}`, "null", ""} {
		bad := put(text)
		bustest.Eventually(t, patience, func() bool {
			list, err := store.Refusals(t.Context(), "shop", "bank")
			return err == nil && len(list) == 1 && list[0].Revision == bad && list[0].Reason != ""
		}, "the refusal of "+text)
		if s := bank.Status(); s.Revision != good || s.Breaker != policy.Open || s.Calls.Breaker.Failures != 2 {
			t.Fatalf("after %q: %+v", text, s)
		}
	}
	var stopped atomic.Bool
	defer stopped.Store(true)
	go func() { // calls go on meanwhile
		for !stopped.Load() {
			once(bank, nil)
		}
	}()
	var last uint64
	for i := range 100 { // the last of many wins
		last = put(`{"breaker":{"failures":2,"rate":0,"open":"1h"},"retry":{"attempts":` + string(rune('1'+i%9)) + `}}`)
	}
	runs(last, "the last of 100 documents")
	if s := bank.Status(); s.Breaker != policy.Open || s.Calls.Retry.Attempts != 1 {
		t.Errorf("%+v", s)
	}
	bustest.Eventually(t, patience, func() bool {
		list, err := policy.Reports(t.Context(), admin, "*")
		return err == nil && len(list) == 1 && len(list[0].Destinations) == 1 && list[0].Destinations[0].Revision == last &&
			list[0].Destinations[0].Breaker == policy.Open && list[0].Destinations[0].Counts.Opened == 1
	}, "the report")
	if err := kv.Delete(t.Context(), "shop.bank"); err != nil {
		t.Fatal(err)
	}
	runs(0, "the built-in policy after the key is deleted")
	if bank.Calls() != policy.Partner() || bank.Status().Breaker != policy.Open {
		t.Errorf("%+v", bank.Status())
	}
}
