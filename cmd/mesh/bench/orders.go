package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync/atomic"

	"github.com/nats-io/nats.go"
)

// Starter starts every service on an empty store in dir, with outside firms that answer
// and deliver at once.
type Starter func(ctx context.Context, dir string) (Mesh, error)

// Mesh is a running mesh.
type Mesh struct {
	URL  string
	Stop func() error
	// Processes are those of the mesh by name, this one apart; nil when there are none.
	Processes map[string]int
}

const (
	ordersGoal  = 800 // a second, on two processors
	appendsGoal = 26  // per order, books apart
	orderSKUs   = 64
	orderStock  = 1_000_000_000
)

// Orders measures orders from the request to the delivery in a whole mesh, beside a
// chain made by hand of as many compare-and-appends, deliveries and calls as an order
// took in the same run: what the same traffic costs without a line of ordermesh.
//
// With [Options].Processes the same is done once more by a mesh of which the server and
// every service are processes of their own.
func Orders(together, apart Starter) func(context.Context, Options) (Report, error) {
	return func(ctx context.Context, o Options) (Report, error) {
		o = o.withDefaults(1, 64, 256) // orders under way at once
		report := newReport("orders", o)
		err := measureOrders(ctx, o, together, "", &report)
		if err == nil && o.Processes {
			err = measureOrders(ctx, o, apart, ", apart", &report)
		}
		report.finish()
		if err != nil {
			return report, fmt.Errorf("bench orders: %w", err)
		}
		return report, nil
	}
}

func measureOrders(ctx context.Context, o Options, start Starter, how string, report *Report) (err error) {
	dir, err := os.MkdirTemp(o.Dir, "mesh-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	mesh, err := start(ctx, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, mesh.Stop()) }()
	o.meter = mesh.cpu
	shop, err := openShop(ctx, mesh.URL)
	if err != nil {
		return err
	}
	defer shop.close()
	raw, err := newRawChain(ctx, mesh.URL)
	if err != nil {
		return err
	}
	defer raw.close()
	for _, clients := range o.Concurrency {
		row, notes, err := measureShop(ctx, o, mesh, shop, raw, clients)
		if err != nil {
			return err
		}
		row.Name += how
		report.Rows = append(report.Rows, row)
		report.Notes = append(report.Notes, notes...)
		fmt.Fprintf(o.Progress, "orders%s, %d under way: %.0f/s, p50 %v, CPU %v per order, %.2f of raw\n",
			how, clients, row.Ours.Ops, row.Ours.P50, row.Ours.CPU, row.OpsRatio)
	}
	return nil
}

// measureShop measures one number of orders under way. A short run says what an
// order takes; the chain by hand then does as much.
func measureShop(ctx context.Context, o Options, mesh Mesh, shop *shop, raw *rawChain, clients int) (Row, []string, error) {
	before, err := readTraffic(ctx, shop.nc)
	if err != nil {
		return Row{}, nil, err
	}
	placed, used := shop.placed.Load(), mesh.usage()
	if _, err := load(ctx, clients, o.Duration, shop.order); err != nil {
		return Row{}, nil, err
	}
	after, err := readTraffic(ctx, shop.nc)
	if err != nil {
		return Row{}, nil, err
	}
	orders := shop.placed.Load() - placed
	per := after.since(before, orders)
	parts := mesh.parts(used, orders)
	raw.imitate(per)
	row, err := compare(ctx, o, clients, shop.order, raw.order)
	row.Name, row.Transport = "placed to delivered", TCP
	if clients > 1 && mesh.Processes == nil {
		row.Goal.Ops = ordersGoal
	}
	return row, []string{fmt.Sprintf("%d under way: %s", clients, per), bound(clients, row.Ours.CPU, parts)}, err
}

// shop places orders and knows when each is delivered.
type shop struct {
	nc      *nats.Conn
	run     string // distinguishes the ids of one run
	placed  atomic.Int64
	watcher *deliveryWatcher
}

func openShop(ctx context.Context, url string) (*shop, error) {
	nc, err := nats.Connect(url, nats.Name("bench"))
	if err != nil {
		return nil, err
	}
	s := &shop{nc: nc, run: strconv.FormatInt(int64(os.Getpid()), 36)}
	for i := range orderSKUs {
		if err := s.stock(ctx, benchSKU(i)); err != nil {
			nc.Close()
			return nil, err
		}
	}
	if s.watcher, err = watchDeliveries(ctx, nc); err != nil {
		nc.Close()
		return nil, err
	}
	return s, nil
}

func benchSKU(i int) string { return "BENCH-" + strconv.Itoa(i%orderSKUs) }

func (s *shop) stock(ctx context.Context, sku string) error {
	put := `{"sku":"` + sku + `","name":"Thing","price":{"amount":1299,"currency":"EUR"}}`
	if err := request(ctx, s.nc, "svc.catalog.put", put); err != nil {
		return err
	}
	return request(ctx, s.nc, "svc.inventory.adjust", `{"sku":"`+sku+`","delta":`+strconv.Itoa(orderStock)+`,"reason":"bench"}`)
}

// order places one order and waits until it is delivered.
func (s *shop) order(ctx context.Context, client int) error {
	n := s.placed.Add(1)
	id := s.run + "-" + strconv.FormatInt(n, 10)
	delivered := s.watcher.expect(id)
	line := func(sku int) string { return `{"sku":"` + benchSKU(sku) + `","quantity":1}` }
	body := `{"order_id":"` + id + `","customer_id":"c` + strconv.Itoa(client) + `",` +
		`"lines":[` + line(client) + "," + line(client+orderSKUs/2) + `],"payment":{"token":"tok_ok"},` +
		`"ship_to":{"name":"Ada","line1":"1 Main St","city":"Berlin","postal_code":"10115","country":"DE"}}`
	if err := request(ctx, s.nc, "svc.orders.place", body); err != nil {
		return err
	}
	select {
	case <-delivered:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("order %s was not delivered: %w", id, context.Cause(ctx))
	}
}

func (s *shop) close() {
	s.watcher.stop()
	s.nc.Close()
}

func request(ctx context.Context, nc *nats.Conn, subject, body string) error {
	answer, err := nc.RequestWithContext(ctx, subject, []byte(body))
	if err != nil {
		return fmt.Errorf("%s: %w", subject, err)
	}
	if text := answer.Header.Get("Nats-Service-Error"); text != "" {
		return fmt.Errorf("%s: %s: %s", subject, text, answer.Data)
	}
	return nil
}
