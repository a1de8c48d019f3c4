package catalog

import (
	"context"
	"time"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/cache"
	"github.com/ordermesh/ordermesh/bus/eventstore"
	"github.com/ordermesh/ordermesh/contracts/catalog"
	"github.com/ordermesh/ordermesh/services/catalog/domain"
)

// readSchema numbers the layout of catalog.Product as instances share it.
const readSchema = 1

// reading is the products that were read, with the feed that tells of their changes.
type reading struct {
	*cache.Cache[catalog.Product]
	feed *cache.Feed
}

func newReading(conn *bus.Conn, products *eventstore.Entity[domain.Product, domain.Put, catalog.Event], cfg Config) (*reading, error) {
	opts := []cache.Option{cache.WithRemote(cfg.Remote), cache.WithSchema(readSchema), cache.WithLifetimes(cfg.lifetimes)}
	if cfg.Policies != nil {
		opts = append(opts, cache.WithRemoteGuard(cfg.Policies.Executor("redis")))
	}
	feed := cache.NewFeed(conn, catalog.Events.Info())
	c, err := cache.New(conn.Telemetry(), "catalog.products", func(ctx context.Context, sku string) (catalog.Product, uint64, error) {
		p, version, err := products.Get(ctx, sku)
		return productView(sku, p, version), version, err
	}, append(opts, cache.WithFeed(feed))...)
	return &reading{c, feed}, err
}

// lifetimes are those of the settings as they are now.
func (c Config) lifetimes() cache.Lifetimes {
	if c.Settings == nil {
		return cache.Lifetimes{Fresh: 300 * time.Second, Unknown: 30 * time.Second, Stale: time.Hour}
	}
	s := c.Settings()
	return cache.Lifetimes{Fresh: s.ReadFresh, Unknown: s.ReadUnknown, Stale: s.ReadStale}
}
