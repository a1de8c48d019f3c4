package config_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/config"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/embedded/natsd"
)

// TestDerivedPermissions: a service's user can read its settings and tell of them, in
// production, too, and neither write settings nor tell for others.
func TestDerivedPermissions(t *testing.T) {
	t.Parallel()
	allowed := shop.Permissions(contract.Production)
	b := bustest.Server(t, bustest.WithServices(shop), bustest.WithServer(natsd.Config{DefaultUser: "admin", Users: []natsd.User{
		{Name: "admin", Admin: true},
		{Name: "shop", Password: "p", Publish: allowed.Publish, Subscribe: allowed.Subscribe, AllowResponses: allowed.Responses},
	}}))
	conn := b.Dial(t, bustest.WithService("shop"), bustest.WithUser("shop", "p"))
	stop := conn.WatchDenied(func(d bus.Denied) { t.Error(d) })
	l, end := launch(t, conn, nil)
	kv := bucket(t, b.Dial(t))
	put(t, kv, "shop.limit", "nonsense")
	reached(t, l, put(t, kv, "shop.limit", "12"))
	admin := b.Dial(t)
	put(t, policies(t, admin), greetingKey, "nonsense")
	d, endDocument := follow(t, conn)
	looked(t, d, put(t, policies(t, admin), greetingKey, `{"say":"hello"}`))
	seen := d.Status().Verified
	bustest.Eventually(t, time.Minute, func() bool { return d.Status().Verified.After(seen) }, "the document's revision to be compared")
	verified := l.Status().Verified
	bustest.Eventually(t, time.Minute, func() bool { return l.Status().Verified.After(verified) }, "the revision to be compared")
	s := store(t, b.Dial(t))
	bustest.Eventually(t, time.Minute, func() bool {
		list, err := s.Instances(t.Context(), "shop")
		return err == nil && len(list) == 1 && list[0].Revision == 2
	}, "the report")
	papers, err := config.OpenDocuments(t.Context(), admin)
	check(t, err)
	bustest.Eventually(t, time.Minute, func() bool {
		list, err := papers.Instances(t.Context(), "shop", "greeting")
		return err == nil && len(list) == 1 && list[0].Runs == 2
	}, "the document's report")
	endDocument()
	end()
	stop()
	var denied atomic.Int32
	defer conn.WatchDenied(func(bus.Denied) { denied.Add(1) })()
	forbidden := []string{
		"$KV.config.shop.limit", "$KV.config.other.limit", "$KV.config_status.other.instance.x", "$JS.API.DIRECT.GET.KV_config",
		"$JS.API.STREAM.MSG.GET.KV_config", "$JS.API.DIRECT.GET.KV_config.$KV.config.other.>", "$JS.API.CONSUMER.CREATE.KV_config.x.$KV.config.other.>",
		"$JS.API.STREAM.PURGE.KV_config", "$KV.policy.shop.greeting", "$JS.API.CONSUMER.CREATE.KV_policy.x.$KV.policy.shop.>",
		"$JS.API.DIRECT.GET.KV_policy.$KV.policy.other.greeting", "$JS.API.STREAM.MSG.GET.KV_policy",
	}
	for _, subject := range forbidden {
		check(t, conn.NATS().Publish(subject, []byte("13")))
	}
	check(t, conn.NATS().Flush())
	bustest.Eventually(t, time.Minute, func() bool { return int(denied.Load()) == len(forbidden) }, "every subject to be denied")
}
