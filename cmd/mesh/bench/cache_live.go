package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/cache"
	"github.com/ordermesh/ordermesh/bus/rpc"
	"github.com/ordermesh/ordermesh/contracts/catalog"
	"github.com/ordermesh/ordermesh/contracts/money"
	catalogservice "github.com/ordermesh/ordermesh/services/catalog"
)

// stampedes lets a thousand callers want the same product at once, which nobody has, and
// fails if the source is read more than once.
func (b *shelf) stampedes(ctx context.Context, o Options, report *Report) error {
	var reads, next, most atomic.Int64
	c, err := b.cache(func(ctx context.Context, key string) (catalog.Product, uint64, error) {
		reads.Add(1)
		sku, _, _ := strings.Cut(key, "/")
		return b.source(ctx, sku)
	}, cache.WithSize(10_000))
	if err != nil {
		return err
	}
	defer c.Close()
	sample, err := repeat(ctx, o, 1, func(ctx context.Context, _ int) error {
		n := next.Add(1)
		key := fmt.Sprint(b.skus[n%int64(len(b.skus))], "/", n) // nobody has had it yet
		reads.Store(0)
		begin := make(chan struct{})
		var all sync.WaitGroup
		var failed atomic.Pointer[error]
		for range stampede {
			all.Go(func() {
				<-begin
				if _, version, err := c.Get(ctx, key); err != nil || version != 1 {
					err = errors.Join(err, fmt.Errorf("%s is at version %d", key, version))
					failed.Store(&err)
				}
			})
		}
		close(begin)
		all.Wait()
		if n := reads.Load(); n > 1 {
			return fmt.Errorf("%d callers read the source %d times", stampede, n)
		}
		most.Store(max(reads.Load(), most.Load()))
		if err := failed.Load(); err != nil {
			return *err
		}
		return nil
	})
	if err != nil {
		return err
	}
	report.Rows = append(report.Rows, Row{
		Name: "stampede", Concurrency: stampede, Ours: sample,
		Note: fmt.Sprintf("%d callers for a product that nobody has: %d read of the source at most", stampede, most.Load()),
	})
	return nil
}

// prices changes a price and asks three instances of the catalog until none answers the
// old one: how long after the acknowledgement was it answered?
func (b *shelf) prices(ctx context.Context, o Options, report *Report) (err error) {
	running, cancel := context.WithCancel(ctx)
	defer cancel()
	var services []bus.Runner
	for range 3 {
		conn, err := b.ground.dial(ctx, "catalog")
		if err != nil {
			return err
		}
		s, err := catalogservice.New(conn, catalogservice.Config{})
		if err != nil {
			return err
		}
		services = append(services, s)
	}
	ended := make(chan error, 1)
	go func() { ended <- bus.Run(running, services...) }()
	defer func() {
		cancel()
		err = errors.Join(err, <-ended)
	}()
	for _, s := range services {
		if s, ok := s.(*catalogservice.Service); ok {
			select {
			case <-s.Ready():
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	conn, err := b.ground.dial(ctx, "shop")
	if err != nil {
		return err
	}
	client := rpc.NewClient(conn)
	var lates []time.Duration
	for n := range o.Changes {
		late, err := changePrice(ctx, client, int64(n)+1)
		if err != nil {
			return err
		}
		lates = append(lates, late)
	}
	row := Row{Name: "a changed price", Concurrency: 3, Ours: quantiles(lates), Goal: Goal{P99: 50 * time.Millisecond}}
	row.Note = fmt.Sprintf("%d changes: how long after the acknowledgement one of three instances answered the old price, at the latest %v", o.Changes, lates[len(lates)-1])
	report.Rows = append(report.Rows, row)
	return nil
}

// changePrice puts a price and returns how long after the acknowledgement the old one was
// still answered, asking so often that no instance is left out.
func changePrice(ctx context.Context, client *rpc.Client, price int64) (time.Duration, error) {
	put, err := rpc.Call(ctx, client, catalog.Put, catalog.PutProduct{SKU: "PRICED", Name: "Product", Price: money.In(money.New(price, "EUR"))})
	if err != nil {
		return 0, err
	}
	acked := time.Now()
	const pollers, agreed = 4, 40
	var last atomic.Int64
	var errs [pollers]error
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() {
			for same := 0; same < agreed; same++ {
				asked := int64(time.Since(acked))
				got, err := rpc.Call(ctx, client, catalog.Get, catalog.GetProduct{SKU: "PRICED"})
				if err != nil && !errors.Is(err, catalog.ErrUnknown) {
					errs[i] = err
					return
				}
				if got.Version < put.Version {
					same = 0
					for old := last.Load(); asked > old && !last.CompareAndSwap(old, asked); old = last.Load() {
					}
				}
			}
		})
	}
	all.Wait()
	return time.Duration(last.Load()), errors.Join(errs[:]...)
}

// quantiles sorts what was measured.
func quantiles(list []time.Duration) Sample {
	slices.Sort(list)
	return Sample{P50: list[len(list)/2], P99: list[len(list)*99/100], Count: int64(len(list))}
}
