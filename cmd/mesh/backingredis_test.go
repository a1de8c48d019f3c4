package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/rpc"
	"github.com/ordermesh/ordermesh/contracts/catalog"
	"github.com/ordermesh/ordermesh/contracts/money"
	"github.com/ordermesh/ordermesh/contracts/orders"
	"github.com/ordermesh/ordermesh/embedded/redis/redistest"
)

func TestARedisURLNeverShowsItsPassword(t *testing.T) {
	t.Parallel()
	r, err := openRedis("rediss://mesh:geheim@h:6379/3?dial_timeout=1s")
	check(t, err)
	defer r.close()
	if got := r.redacted(); got != "rediss://h:6379/3" {
		t.Error(got)
	}
	for _, text := range []string{"redis://mesh:geheim@h:port/0", "://geheim", "redis://h/geheim", "memcached://mesh:geheim@h"} {
		if _, err := openRedis(text); err == nil || strings.Contains(err.Error(), "geheim") || !strings.Contains(err.Error(), "REDIS_URL") {
			t.Errorf("%q: %v", text, err)
		}
	}
	if none, err := openRedis(""); none != nil || err != nil || none.remote() != nil || none.redacted() != "" {
		t.Errorf("no Redis: %v, %v", none, err)
	}
}

func TestDevSharesWhatWasReadInRedis(t *testing.T) {
	t.Parallel()
	redistest.Server(t) // or skip
	mesh := launchMeshWith(t, []string{"REDIS_URL="}, devArgs("--ephemeral", "--redis")...)
	mesh.awaitReady()
	s := mesh.shop()
	o, err := goredis.ParseURL(mesh.note.Redis)
	check(t, err)
	rdb := goredis.NewClient(o)
	defer rdb.Close()
	sku := 0
	bustest.Eventually(t, patience, func() bool {
		sku++
		s.stock(fmt.Sprint("SKU-", sku), 500, 1)
		s.must("catalog.get", fmt.Sprintf(`{"sku":"SKU-%d"}`, sku))
		s.must("inventory.get", fmt.Sprintf(`{"sku":"SKU-%d"}`, sku))
		keys := rdb.Keys(t.Context(), "mesh:cache:*").Val()
		has := func(name string) bool {
			return slices.ContainsFunc(keys, func(key string) bool { return strings.Contains(key, name) })
		}
		return has("catalog.products") && has("inventory.stock")
	}, "what was read to be in Redis")
}

func TestOrdersGoOnWithoutTheirRedis(t *testing.T) {
	t.Parallel()
	mesh := launchMeshWith(t, []string{"REDIS_URL=redis://u:geheim@127.0.0.1:1"}, devArgs("--ephemeral")...)
	mesh.awaitReady()
	s := mesh.shop()
	var placed []string
	for range 5 {
		placed = append(placed, s.place(sampleOrder).OrderID)
	}
	for _, id := range placed {
		if order := s.ended(id); order.Status != orders.Delivered {
			t.Errorf("order %s is %s", order.OrderID, order.Status)
		}
	}
	if strings.Contains(mesh.log.String(), "geheim") {
		t.Error("the log shows the password")
	}
}

// TestAChangedPriceIsSeenByAllProcesses changes a price and asks all three at random
// until none answers the old one: how long after the acknowledgement was it answered?
// 1,000 changes with MESH_LONG=1, and fewer otherwise.
func TestAChangedPriceIsSeenByAllProcesses(t *testing.T) {
	t.Parallel()
	changes := 25
	if os.Getenv("MESH_LONG") != "" {
		changes = 1000
	}
	b := bustest.Server(t)
	var list []*child
	for range 3 {
		list = append(list, launchMesh(t, "run", "catalog", "--nats", b.URL()))
	}
	for _, c := range list {
		c.awaitReady()
	}
	conn := b.Dial(t)
	late := make([]time.Duration, 0, changes)
	for n := range changes {
		late = append(late, changePrice(t, rpc.NewClient(conn), int64(n+1)))
	}
	slices.Sort(late)
	t.Logf("the old price was answered last: median %v, p99 %v, worst %v after the acknowledgement",
		late[len(late)/2], late[len(late)*99/100], late[len(late)-1])
}

// changePrice puts a price and returns how long after the acknowledgement the old one was
// still answered. Every process is asked many times by chance.
func changePrice(t *testing.T, client *rpc.Client, price int64) time.Duration {
	t.Helper()
	put, err := rpc.Call(t.Context(), client, catalog.Put, catalog.PutProduct{SKU: "TEA", Name: "Tea", Price: money.In(money.New(price, "EUR"))})
	check(t, err)
	acked := time.Now()
	const agreed = 40 // by each of four: the chance to miss a process is (2/3)^160
	var mu sync.Mutex
	var last time.Duration
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for same := 0; same < agreed; same++ {
				asked := time.Since(acked)
				got, err := rpc.Call(t.Context(), client, catalog.Get, catalog.GetProduct{SKU: "TEA"})
				switch {
				case err != nil && price > 1:
					t.Error(err)
					return
				case got.Version < put.Version:
					same = 0
					mu.Lock()
					last = max(last, asked)
					mu.Unlock()
				case got != put:
					t.Errorf("%+v was put and %+v is answered", put, got)
					return
				}
			}
		})
	}
	all.Wait()
	return last
}
