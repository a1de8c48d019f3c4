package cache_test

import (
	"context"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/cache"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/eventstore"
	"github.com/ordermesh/ordermesh/embedded/natsd"
)

const patience = 30 * time.Second

type priceEvent interface{ priceEvent() }

type priced struct {
	Minor int64 `json:"minor"`
}

func (priced) priceEvent() {}

type price struct {
	Minor int64 `json:"minor"`
}

var (
	prices  = contract.NewEvents[priceEvent]("pricing", "PRICES", "price", contract.Type[priceEvent, priced]("price.set.v1"))
	pricing = contract.Service{Name: "pricing", Appends: []contract.EventsInfo{prices.Info()}, Caches: []contract.EventsInfo{prices.Info()}}
)

type entity = eventstore.Entity[price, int64, priceEvent]

func newPrices(conn *bus.Conn) *entity {
	return eventstore.NewEntity(eventstore.NewJetStreamLog(conn, prices.Info().Stream), prices,
		func(_ price, minor int64) ([]priceEvent, error) { return []priceEvent{priced{minor}}, nil },
		func(_ price, e priceEvent) price { return price(e.(priced)) })
}

// instance is one process: its own connection, feed and cache.
type instance struct {
	*cache.Cache[price]
	feed  *cache.Feed
	reads atomic.Int64
	stop  context.CancelFunc
	ended chan error
}

func start(t *testing.T, conn *bus.Conn, opts ...cache.Option) *instance {
	t.Helper()
	i := &instance{feed: cache.NewFeed(conn, prices.Info()), ended: make(chan error, 1)}
	source := newPrices(conn)
	var err error
	i.Cache, err = cache.New(conn.Telemetry(), "prices", func(ctx context.Context, key string) (price, uint64, error) {
		i.reads.Add(1)
		return source.Get(ctx, key)
	}, append(opts, cache.WithFeed(i.feed))...)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	i.stop = func() {
		cancel()
		if err := <-i.ended; err != nil {
			t.Error(err)
		}
		i.Close()
		i.stop = func() {}
	}
	go func() { i.ended <- i.feed.Run(ctx) }()
	t.Cleanup(func() { i.stop() })
	return i
}

func (i *instance) waitReady(t *testing.T) *instance {
	t.Helper()
	select {
	case <-i.feed.Ready():
	case <-time.After(patience):
		t.Fatal("the feed does not get ready")
	}
	return i
}

func (i *instance) wait(t *testing.T, key string, minor int64) {
	t.Helper()
	bustest.Eventually(t, patience, func() bool {
		p, _, err := i.Get(t.Context(), key)
		return err == nil && p.Minor == minor
	}, key, " to cost ", minor)
}

func set(t *testing.T, e *entity, key string, minor int64) uint64 {
	t.Helper()
	var version uint64
	bustest.Eventually(t, patience, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		var err error
		_, version, err = e.Do(ctx, key, "", minor)
		return err == nil
	}, "a price to be set")
	return version
}

func TestEveryProcessHearsOfAChange(t *testing.T) {
	t.Parallel()
	bustest.Each(t, func(t *testing.T, b *bustest.Broker) {
		t.Helper()
		writer := newPrices(b.Dial(t))
		var all []*instance
		for range 3 {
			all = append(all, start(t, b.Dial(t)).waitReady(t))
		}
		for minor := range int64(20) {
			set(t, writer, "tea", minor)
			for _, i := range all {
				i.wait(t, "tea", minor)
				i.wait(t, "pot", 0) // unknown: a value without price
			}
		}
		reads := all[0].reads.Load()
		for range 100 {
			all[0].wait(t, "tea", 19)
		}
		if n := all[0].reads.Load(); n != reads {
			t.Errorf("%d reads of the source although nothing changed", n-reads)
		}
	}, bustest.WithServices(pricing))
}

// TestNothingIsTrustedWithoutAFeed stops the server, or the node that leads, changes a
// price as soon as that is possible, and reads.
func TestNothingIsTrustedWithoutAFeed(t *testing.T) {
	t.Parallel()
	bustest.Each(t, func(t *testing.T, b *bustest.Broker) {
		t.Helper()
		writer := newPrices(b.Dial(t))
		i := start(t, b.Dial(t)).waitReady(t)
		set(t, writer, "tea", 1)
		i.wait(t, "tea", 1)
		b.Stop(t, "PRICES")
		b.Start(t)
		set(t, writer, "tea", 2)
		i.wait(t, "tea", 2)
		bustest.Eventually(t, patience, i.feed.Alive, "the feed to be back")
		set(t, writer, "tea", 3)
		i.wait(t, "tea", 3)
	}, bustest.WithServices(pricing))
}

func TestAConsumerThatIsDeletedIsMadeAgain(t *testing.T) {
	t.Parallel()
	b := bustest.Server(t, bustest.WithServices(pricing))
	conn := b.Dial(t)
	writer := newPrices(conn)
	i := start(t, b.Dial(t)).waitReady(t)
	set(t, writer, "tea", 1)
	i.wait(t, "tea", 1)
	stream, err := conn.JetStream().Stream(t.Context(), "PRICES")
	if err != nil {
		t.Fatal(err)
	}
	for name := range stream.ConsumerNames(t.Context()).Name() {
		if err := stream.DeleteConsumer(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	set(t, writer, "tea", 2)
	i.wait(t, "tea", 2)
	bustest.Eventually(t, patience, i.feed.Alive, "the feed to be back")
	reads := i.reads.Load()
	i.wait(t, "tea", 2)
	i.wait(t, "tea", 2)
	if n := i.reads.Load() - reads; n > 1 {
		t.Errorf("the source was read %d times with a living feed", n)
	}
}

func TestAProcessThatStartsUsesWhatOthersHavePutThere(t *testing.T) {
	t.Parallel()
	b := bustest.Server(t, bustest.WithServices(pricing))
	writer, remote := newPrices(b.Dial(t)), cache.NewMemory(100)
	for n := range int64(10) {
		set(t, writer, "p"+strconv.FormatInt(n, 10), n)
	}
	first := start(t, b.Dial(t), cache.WithRemote(remote)).waitReady(t)
	for n := range int64(10) {
		first.wait(t, "p"+strconv.FormatInt(n, 10), n)
	}
	first.stop()
	second := start(t, b.Dial(t), cache.WithRemote(remote)).waitReady(t)
	for n := range int64(10) {
		second.wait(t, "p"+strconv.FormatInt(n, 10), n)
	}
	if n := second.reads.Load(); n != 0 {
		t.Errorf("%d reads of the source although the remote level had everything", n)
	}
	set(t, writer, "p0", 100)
	third := start(t, b.Dial(t), cache.WithRemote(remote)).waitReady(t)
	if p, version, err := third.Get(t.Context(), "p0"); err != nil || p.Minor != 100 || version != 2 {
		t.Errorf("a process that starts after a change gets %+v at %d, %v", p, version, err)
	}
}

// TestAnotherStreamIsAnotherWorld makes the stream anew, as an ephemeral mesh does that
// starts again beside the same Redis.
func TestAnotherStreamIsAnotherWorld(t *testing.T) {
	t.Parallel()
	remote := cache.NewMemory(100)
	for _, minor := range []int64{1, 2} {
		b := bustest.Server(t, bustest.WithServices(pricing))
		conn := b.Dial(t)
		set(t, newPrices(conn), "tea", minor)
		i := start(t, conn, cache.WithRemote(remote)).waitReady(t)
		if p, _, err := i.Get(t.Context(), "tea"); err != nil || p.Minor != minor {
			t.Errorf("tea costs %d, want %d (%v)", p.Minor, minor, err)
		}
		i.stop()
	}
}

func TestAFeedWaitsForItsStream(t *testing.T) {
	t.Parallel()
	b := bustest.Server(t)
	conn := b.Dial(t)
	i := start(t, conn)
	specs := contract.Streams(pricing)
	if err := bus.Provision(t.Context(), conn, specs, 1); err != nil {
		t.Fatal(err)
	}
	i.waitReady(t)
	set(t, newPrices(conn), "tea", 1)
	i.wait(t, "tea", 1)
}

func TestDerivedPermissionsAreEnough(t *testing.T) {
	t.Parallel()
	allowed := pricing.Permissions(contract.Production)
	b := bustest.Server(t, bustest.WithServices(pricing), bustest.WithServer(natsd.Config{DefaultUser: "admin", Users: []natsd.User{
		{Name: "admin", Admin: true},
		{Name: "pricing", Password: "p", Publish: allowed.Publish, Subscribe: allowed.Subscribe, AllowResponses: allowed.Responses},
	}}))
	conn := b.Dial(t, bustest.WithService("pricing"), bustest.WithUser("pricing", "p"))
	stop := conn.WatchDenied(func(d bus.Denied) { t.Error(d) })
	defer stop()
	i := start(t, conn).waitReady(t)
	set(t, newPrices(b.Dial(t)), "tea", 7)
	i.wait(t, "tea", 7)
	i.stop()
}
