package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/nats-io/nats.go"
)

// DoorStarter is a Starter that also serves HTTP, and says where.
type DoorStarter func(ctx context.Context, dir string) (mesh Mesh, web string, err error)

// HTTP measures the gateway: a read and a command over HTTP, beside the same request to the
// service on NATS in the same run. The client of HTTP is in this process, too, so that its
// part is in our figures.
func HTTP(start DoorStarter) func(context.Context, Options) (Report, error) {
	return func(ctx context.Context, o Options) (Report, error) {
		o = o.withDefaults()
		report := newReport("http", o)
		err := measureDoor(ctx, o, start, &report)
		report.finish()
		if err != nil {
			return report, fmt.Errorf("bench http: %w", err)
		}
		return report, nil
	}
}

func measureDoor(ctx context.Context, o Options, start DoorStarter, report *Report) (err error) {
	dir, err := os.MkdirTemp(o.Dir, "mesh-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	mesh, web, err := start(ctx, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, mesh.Stop()) }()
	nc, err := nats.Connect(mesh.URL, nats.Name("bench"))
	if err != nil {
		return err
	}
	defer nc.Close()
	shop := &shop{nc: nc}
	for i := range orderSKUs {
		if err := shop.stock(ctx, benchSKU(i)); err != nil {
			return err
		}
	}
	d := &door{shop: shop, web: web, client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: slices.Max(o.Concurrency)}}}
	for _, kind := range []struct {
		name      string
		ours, raw operation
	}{
		{"read a product", d.read, d.readDirectly},
		{"place an order", d.place, d.placeDirectly},
	} {
		for _, clients := range o.Concurrency {
			row, err := compare(ctx, o, clients, kind.ours, kind.raw)
			if err != nil {
				return err
			}
			row.Name, row.Transport = kind.name, TCP
			report.Rows = append(report.Rows, row)
			fmt.Fprintf(o.Progress, "http, %s, %d clients: %.0f/s, p50 %v, %.2f of direct calls\n", kind.name, clients, row.Ours.Ops, row.Ours.P50, row.OpsRatio)
		}
	}
	return nil
}

// door asks for the same over HTTP and on NATS.
type door struct {
	shop   *shop
	web    string
	client *http.Client
	orders atomic.Int64
}

func (d *door) read(ctx context.Context, client int) error {
	return d.ask(ctx, http.MethodGet, "/api/v1/products/"+benchSKU(client), "", "")
}

func (d *door) readDirectly(ctx context.Context, client int) error {
	return request(ctx, d.shop.nc, "svc.catalog.get", `{"sku":"`+benchSKU(client)+`"}`)
}

func (d *door) place(ctx context.Context, client int) error {
	return d.ask(ctx, http.MethodPost, "/api/v1/orders", d.order(client), d.key())
}

func (d *door) placeDirectly(ctx context.Context, client int) error {
	msg := nats.NewMsg("svc.orders.place")
	msg.Data = []byte(d.order(client))
	msg.Header["Idempotency-Key"] = []string{d.key()}
	answer, err := d.shop.nc.RequestMsgWithContext(ctx, msg)
	if err != nil {
		return err
	}
	if text := answer.Header.Get("Nats-Service-Error"); text != "" {
		return fmt.Errorf("svc.orders.place: %s", text)
	}
	return nil
}

func (d *door) key() string { return "bench-" + strconv.FormatInt(d.orders.Add(1), 10) }

func (d *door) order(client int) string {
	return `{"customer_id":"c` + strconv.Itoa(client) + `","lines":[{"sku":"` + benchSKU(client) + `","quantity":1}],"payment":{"token":"tok_ok"},` +
		`"ship_to":{"name":"Ada","line1":"1 Main St","city":"Berlin","postal_code":"10115","country":"DE"}}`
}

func (d *door) ask(ctx context.Context, verb, path, body, key string) error {
	r, err := http.NewRequestWithContext(ctx, verb, d.web+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	if key != "" {
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Idempotency-Key", key)
	}
	response, err := d.client.Do(r)
	if err != nil {
		return err
	}
	answer, err := io.ReadAll(response.Body)
	if err := errors.Join(err, response.Body.Close()); err != nil {
		return err
	}
	if response.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("%s %s: %d %s", verb, path, response.StatusCode, answer)
	}
	return nil
}
