package inventory

import (
	"context"
	"time"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/cache"
	"github.com/ordermesh/ordermesh/contracts/inventory"
)

// readSchema numbers the layout of inventory.Stock as instances share it.
const readSchema = 1

// reading is the stock that was read, with the feed that tells of its changes.
type reading struct {
	*cache.Cache[inventory.Stock]
	feed *cache.Feed
}

func newReading(conn *bus.Conn, w *warehouse, cfg Config) (*reading, error) {
	opts := []cache.Option{cache.WithRemote(cfg.Remote), cache.WithSchema(readSchema), cache.WithLifetimes(cfg.lifetimes)}
	if cfg.Policies != nil {
		opts = append(opts, cache.WithRemoteGuard(cfg.Policies.Executor("redis")))
	}
	feed := cache.NewFeed(conn, inventory.StockEvents.Info())
	c, err := cache.New(conn.Telemetry(), "inventory.stock", func(ctx context.Context, sku string) (inventory.Stock, uint64, error) {
		s, version, err := w.stock.Get(ctx, sku)
		return stockView(sku, s, version), version, err
	}, append(opts, cache.WithFeed(feed))...)
	return &reading{c, feed}, err
}

// lifetimes are those of the settings as they are now.
func (c Config) lifetimes() cache.Lifetimes {
	if c.Settings == nil {
		return cache.Lifetimes{Fresh: 300 * time.Second, Unknown: 30 * time.Second, Stale: time.Minute}
	}
	s := c.Settings()
	return cache.Lifetimes{Fresh: s.ReadFresh, Unknown: s.ReadUnknown, Stale: s.ReadStale}
}
