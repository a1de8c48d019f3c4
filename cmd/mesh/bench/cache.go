package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/cache"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/eventstore"
	"github.com/ordermesh/ordermesh/bus/redis"
	"github.com/ordermesh/ordermesh/contracts/catalog"
	"github.com/ordermesh/ordermesh/contracts/money"
	embedded "github.com/ordermesh/ordermesh/embedded/redis"
	"github.com/ordermesh/ordermesh/services/catalog/domain"
)

const (
	shelfShare = 20   // there are as many products as messages for cold loads, by this
	readsAtOne = 100  // reads out of memory that are timed as one: a clock costs as much as a read
	stampede   = 1000 // callers who want the same product at once
)

// Cache measures reads of products through bus/cache: out of memory, beside a map; out of
// Redis, beside a bare GET; out of the stream, beside the entity alone, also with a
// Redis that never answers; a stampede; and how long a changed price takes to be seen
// by three instances of the catalog.
func Cache(ctx context.Context, o Options) (report Report, err error) {
	o = o.withDefaults()
	report = newReport("cache", o)
	b, err := newShelf(ctx, o)
	if err != nil {
		return report, err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	for _, measure := range []func(context.Context, Options, *Report) error{b.near, b.remote, b.cold, b.blackHole, b.stampedes, b.prices} {
		before := len(report.Rows)
		if err := measure(ctx, o, &report); err != nil {
			return report, fmt.Errorf("bench cache: %w", err)
		}
		for _, row := range report.Rows[before:] {
			fmt.Fprintf(o.Progress, "%s, %d clients: %.0f/s, p50 %v, p99 %v\n", row.Name, row.Concurrency, row.Ours.Ops, row.Ours.P50, row.Ours.P99)
		}
	}
	report.finish()
	return report, nil
}

// shelf is products in a stream and, if there is one, a Redis.
type shelf struct {
	ground   *ground
	conn     *bus.Conn
	products *eventstore.Entity[domain.Product, domain.Put, catalog.Event]
	skus     []string
	feed     *cache.Feed
	server   *embedded.Server
	url      string // of Redis, "" for none
	missing  error  // why there is none
	stop     func() error
}

func newShelf(ctx context.Context, o Options) (b *shelf, err error) {
	b = &shelf{stop: func() error { return nil }}
	if b.ground, err = newGround(o, TCP); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.close())
		}
	}()
	if err := b.ground.provision(ctx, contract.Streams(catalog.Descriptor)); err != nil {
		return b, err
	}
	if b.conn, err = b.ground.dial(ctx, "catalog"); err != nil {
		return b, err
	}
	b.products = eventstore.NewEntity(eventstore.NewJetStreamLog(b.conn, catalog.Events.Info().Stream), catalog.Events,
		domain.Decide, domain.Evolve, eventstore.WithSchema(domain.Schema), eventstore.WithCache(2*o.Stored/shelfShare))
	if err := b.fill(ctx, max(o.Stored/shelfShare, 2)); err != nil {
		return b, err
	}
	b.feed = cache.NewFeed(b.conn, catalog.Events.Info())
	following, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- b.feed.Run(following) }()
	b.stop = func() error {
		cancel()
		return <-ended
	}
	if b.url = os.Getenv("REDIS_URL"); b.url == "" {
		if b.server, b.missing = embedded.Start(ctx); b.missing == nil {
			b.url = b.server.URL()
		}
	}
	select {
	case <-b.feed.Ready():
		return b, nil
	case <-ctx.Done():
		return b, ctx.Err()
	}
}

// fill puts the products into the stream.
func (b *shelf) fill(ctx context.Context, products int) error {
	for i := range products {
		b.skus = append(b.skus, fmt.Sprintf("SKU-%05d", i))
	}
	var next atomic.Int64
	var all sync.WaitGroup
	var errs [16]error
	for w := range errs {
		all.Go(func() {
			for i := next.Add(1) - 1; i < int64(products) && errs[w] == nil; i = next.Add(1) - 1 {
				_, _, errs[w] = b.products.Do(ctx, b.skus[i], "", domain.Put{Name: "Product " + strconv.FormatInt(i, 10), Price: money.New(i+1, "EUR"), Active: true})
			}
		})
	}
	all.Wait()
	return errors.Join(errs[:]...)
}

func (b *shelf) close() error {
	err := errors.Join(b.stop(), b.ground.close())
	if b.server != nil {
		err = errors.Join(err, b.server.Close())
	}
	return err
}

// source reads a product out of the stream.
func (b *shelf) source(ctx context.Context, sku string) (catalog.Product, uint64, error) {
	p, version, err := b.products.Get(ctx, sku)
	return catalog.Product{SKU: sku, Name: p.Name, Price: p.Price, Active: p.Active, Version: version}, version, err
}

func (b *shelf) cache(source cache.Source[catalog.Product], opts ...cache.Option) (*cache.Cache[catalog.Product], error) {
	return cache.New(b.conn.Telemetry(), "bench.products", source, append(opts, cache.WithFeed(b.feed))...)
}

// rounds goes through the products; each client begins elsewhere.
func (b *shelf) rounds(clients int) func(client int) string {
	next := make([]struct {
		n int
		_ [56]byte
	}, clients)
	for i := range next {
		next[i].n = i * len(b.skus) / clients
	}
	return func(client int) string {
		next[client].n++
		return b.skus[next[client].n%len(b.skus)]
	}
}

// get is an operation that reads the next product through a cache.
func (b *shelf) get(c *cache.Cache[catalog.Product], clients int) operation {
	next := b.rounds(clients)
	return func(ctx context.Context, client int) error {
		sku := next(client)
		p, version, err := c.Get(ctx, sku)
		if err == nil && (p.SKU != sku || version == 0) {
			err = fmt.Errorf("%s: %+v at version %d", sku, p, version)
		}
		return err
	}
}

// near compares a hit in the process with a read of a map.
func (b *shelf) near(ctx context.Context, o Options, report *Report) error {
	c, err := b.cache(b.source, cache.WithSize(2*len(b.skus)))
	if err != nil {
		return err
	}
	defer c.Close()
	m := make(map[string]catalog.Product, len(b.skus))
	for _, sku := range b.skus {
		if m[sku], _, err = c.Get(ctx, sku); err != nil {
			return err
		}
	}
	for _, clients := range []int{1, runtime.GOMAXPROCS(0)} {
		next := b.rounds(clients)
		row, err := compare(ctx, o, clients, many(b.get(c, clients)), many(func(_ context.Context, client int) error {
			if sku := next(client); m[sku].SKU != sku {
				return errors.New("the map is wrong")
			}
			return nil
		}))
		if err != nil {
			return err
		}
		row.Ours, *row.Raw = one(row.Ours), one(*row.Raw)
		row.Name, row.Concurrency = "warm, in the process", clients
		row.Note = fmt.Sprintf("beside a map that nobody writes to; %v more for each read", row.Ours.P50-row.Raw.P50)
		report.Rows = append(report.Rows, row)
	}
	return nil
}

// many does an operation a hundred times.
func many(op operation) operation {
	return func(ctx context.Context, client int) error {
		for range readsAtOne {
			if err := op(ctx, client); err != nil {
				return err
			}
		}
		return nil
	}
}

// one is what one of them took.
func one(s Sample) Sample {
	return Sample{Ops: s.Ops * readsAtOne, P50: s.P50 / readsAtOne, P99: s.P99 / readsAtOne, CPU: s.CPU / readsAtOne, Count: s.Count * readsAtOne}
}

// remote compares a hit in Redis, with nothing in the process, with a bare GET of the same
// bytes.
func (b *shelf) remote(ctx context.Context, o Options, report *Report) error {
	if b.missing != nil {
		report.Notes = append(report.Notes, "without Redis: "+b.missing.Error())
		return nil
	}
	client, err := redis.Open(b.url, redis.WithPrefix("bench:"))
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	c, err := b.cache(b.source, cache.WithSize(1), cache.WithRemote(client.Cache()), cache.WithRemoteTimeout(time.Second))
	if err != nil {
		return err
	}
	defer c.Close()
	options, err := goredis.ParseURL(b.url)
	if err != nil {
		return redis.ErrURL
	}
	rdb := goredis.NewClient(options)
	defer func() { _ = rdb.Close() }()
	body := cache.Record{Version: 1, Position: 1, Read: time.Now(), Body: []byte(`{"v":{"sku":"SKU-00000","name":"Product 0","price":{"amount":1,"currency":"EUR"},"active":true,"version":1}}`)}.Encode()
	for _, sku := range b.skus {
		if _, _, err := c.Get(ctx, sku); err != nil { // which leaves it in Redis
			return err
		}
		if err := rdb.Set(ctx, "bench:raw:"+sku, body, 10*time.Minute).Err(); err != nil {
			return err
		}
	}
	for _, clients := range o.Concurrency {
		next := b.rounds(clients)
		row, err := compare(ctx, o, clients, b.get(c, clients), func(ctx context.Context, client int) error {
			return rdb.Get(ctx, "bench:raw:"+next(client)).Err()
		})
		if err != nil {
			return err
		}
		row.Name, row.Note = "warm, in Redis only", "beside a bare GET of go-redis, which decodes nothing"
		report.Rows = append(report.Rows, row)
	}
	return nil
}

// cold compares a read that finds nothing in the process and nothing in Redis, and leaves
// it there, with a read of the entity.
func (b *shelf) cold(ctx context.Context, o Options, report *Report) error {
	opts := []cache.Option{cache.WithSize(1)}
	if b.missing == nil {
		client, err := redis.Open(b.url, redis.WithPrefix("bench:"))
		if err != nil {
			return err
		}
		defer func() { _ = client.Close() }()
		short := cache.Lifetimes{Fresh: time.Millisecond, Unknown: time.Millisecond}
		opts = append(opts, cache.WithRemote(client.Cache()), cache.WithSchema(1), cache.WithLifetimes(func() cache.Lifetimes { return short }))
	}
	return b.beside(ctx, o, report, "cold", Goal{}, opts...)
}

// blackHole is cold with a Redis that takes connections and never answers.
func (b *shelf) blackHole(ctx context.Context, o Options, report *Report) (err error) {
	hole, stop, err := blackHole(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	client, err := redis.Open(hole)
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	return b.beside(ctx, o, report, "Redis is a black hole", Goal{P99Ratio: 2}, cache.WithSize(1), cache.WithRemote(client.Cache()))
}

// beside compares a cache that always comes to its source with the source alone.
func (b *shelf) beside(ctx context.Context, o Options, report *Report, name string, goal Goal, opts ...cache.Option) error {
	c, err := b.cache(b.source, append(opts, cache.WithLoads(1000))...)
	if err != nil {
		return err
	}
	defer c.Close()
	for _, clients := range o.Concurrency {
		next := b.rounds(clients)
		row, err := compare(ctx, o, clients, b.get(c, clients), func(ctx context.Context, client int) error {
			_, _, err := b.source(ctx, next(client))
			return err
		})
		if err != nil {
			return err
		}
		row.Name, row.Goal = name, goal
		row.Note = fmt.Sprintf("%d clients: p99 %v, %.2f of that of the entity alone", clients, short(row.Ours.P99), row.P99Ratio)
		report.Rows = append(report.Rows, row)
	}
	return nil
}

// blackHole listens, reads and says nothing.
func blackHole(ctx context.Context) (url string, stop func() error, err error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				_, _ = bufio.NewReader(conn).WriteTo(discard{})
				_ = conn.Close()
			})
		}
	})
	return "redis://" + l.Addr().String(), func() error {
		err := l.Close()
		all.Wait()
		return err
	}, nil
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
