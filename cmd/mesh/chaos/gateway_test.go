package chaos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ordermesh/ordermesh/bus/contract"
)

// outsider is a customer who orders over HTTP, one order after the other, and asks again
// under the same key where the answer says that this makes sense.
type outsider struct {
	url, sku string
	number   int

	placed, again atomic.Int64
	longest       atomic.Int64 // nanoseconds that one request took
}

// order places one order and returns how often it was asked for.
func (o *outsider) order(ctx context.Context, n int) (asked int, err error) {
	body := fmt.Sprintf(`{"customer_id":"c%d","lines":[{"sku":%q,"quantity":1}],"payment":{"token":"tok_ok"},`+
		`"ship_to":{"name":"Ada","line1":"1 Main St","city":"Berlin","postal_code":"10115","country":"DE"}}`, o.number, o.sku)
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, o.url+"/api/v1/orders", strings.NewReader(body))
		if err != nil {
			return asked, err
		}
		request.Header.Set("Content-Type", "application/json")
		request.Header.Set("Idempotency-Key", fmt.Sprintf("outside-%d-%d", o.number, n))
		began := time.Now()
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return asked, err
		}
		answer, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		o.longest.Store(max(o.longest.Load(), int64(time.Since(began))))
		asked++
		switch response.StatusCode {
		case http.StatusCreated:
			return asked, err
		case http.StatusServiceUnavailable, http.StatusGatewayTimeout, http.StatusTooManyRequests:
		default:
			return asked, fmt.Errorf("%d %s", response.StatusCode, answer)
		}
	}
}

// run orders until ctx ends; what it has begun by then it finishes.
func (o *outsider) run(ctx context.Context) error {
	for n := 0; ctx.Err() == nil; n++ {
		asked, err := o.order(context.WithoutCancel(ctx), n)
		if err != nil {
			return err
		}
		o.placed.Add(1)
		o.again.Add(int64(asked - 1))
		pause(ctx, 50*time.Millisecond)
	}
	return nil
}

// TestOrdersOverHTTPWaitForTheNextLeader: while the leaders of streams that orders need are
// killed, orders over HTTP wait at the gateway. Whoever is told to come again gets the same
// order, and nothing is there twice.
func TestOrdersOverHTTPWaitForTheNextLeader(t *testing.T) {
	t.Parallel()
	scale := ScaleFromEnv()
	if scale == Short {
		t.Skip("three servers and two gateways: MESH_CHAOS=ci runs it")
	}
	r, servers := newCluster(t)
	r.stock(1, 1_000_000)
	var customers [8]*outsider
	for i := range 2 {
		address := "127.0.0.1:" + strconv.Itoa(freePort(t))
		p, err := r.mesh.launch("gateway", r.mesh.binary, []string{"run", "gateway", "--json", "--nats", r.mesh.URL(), "--http", address}, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(p.kill)
		if err := p.await(t.Context()); err != nil {
			t.Fatal(err)
		}
		for k := i; k < len(customers); k += 2 {
			customers[k] = &outsider{url: "http://" + address, sku: r.skus[0], number: k}
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var all sync.WaitGroup
	errs := make([]error, len(customers))
	for i, c := range customers {
		all.Go(func() { errs[i] = c.run(ctx) })
	}
	for k := range scale.pick(0, 4, 20) {
		stream := []string{"ORDERS", "CATALOG", contract.FlowStream, "INVENTORY"}[k%4]
		t.Logf("%s: next leader after %v", stream, r.killLeaderOf(servers, stream).Round(time.Millisecond))
	}
	stop()
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Error(err)
	}
	var placed, again, longest int64
	for _, c := range customers {
		placed, again, longest = placed+c.placed.Load(), again+c.again.Load(), max(longest, c.longest.Load())
	}
	t.Logf("%d orders, %d of them told to come again; the longest request took %v", placed, again, time.Duration(longest).Round(time.Millisecond))
	if v := r.clean(2 * time.Minute); int64(v.Orders) != placed {
		t.Errorf("%d orders were answered 201, %d are stored", placed, v.Orders)
	}
}
