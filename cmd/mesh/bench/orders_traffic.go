package bench

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ordermesh/ordermesh/bus/contract"
)

const benchConsumer = "bench"

// traffic is what a mesh has done so far, as its server and services tell.
type traffic struct {
	appends map[string]uint64 // by stream
	bytes   uint64            // of all streams
	taken   map[string]uint64 // deliveries by stream and consumer, those of the benchmark apart
	calls   uint64            // requests answered
}

// readTraffic asks the server about every stream and consumer and the services about
// their endpoints.
func readTraffic(ctx context.Context, nc *nats.Conn) (traffic, error) {
	js, err := jetstream.New(nc)
	if err != nil {
		return traffic{}, err
	}
	t := traffic{appends: map[string]uint64{}, taken: map[string]uint64{}}
	streams := js.ListStreams(ctx)
	for info := range streams.Info() {
		name := info.Config.Name
		if name == rawOrdersStream || name == "KV_"+contract.FlowLeaseKV {
			continue
		}
		t.appends[name] = info.State.LastSeq
		t.bytes += info.State.Bytes
		stream, err := js.Stream(ctx, name)
		if err != nil {
			return traffic{}, err
		}
		consumers := stream.ListConsumers(ctx)
		for c := range consumers.Info() {
			if !strings.HasPrefix(c.Name, benchConsumer) {
				t.taken[name+"/"+consumerGroup(c.Name)] += c.Delivered.Consumer
			}
		}
		if err := consumers.Err(); err != nil {
			return traffic{}, fmt.Errorf("list the consumers of %s: %w", name, err)
		}
	}
	if err := streams.Err(); err != nil {
		return traffic{}, fmt.Errorf("list streams: %w", err)
	}
	t.calls, err = countCalls(ctx, nc)
	return t, err
}

// countCalls adds up what the services say; the answer is complete when nobody has
// answered for a while.
func countCalls(ctx context.Context, nc *nats.Conn) (uint64, error) {
	inbox := nc.NewRespInbox()
	sub, err := nc.SubscribeSync(inbox)
	if err != nil {
		return 0, err
	}
	defer func() { _ = sub.Unsubscribe() }()
	if err := nc.PublishRequest("$SRV.STATS", inbox, nil); err != nil {
		return 0, err
	}
	var calls uint64
	for {
		wait, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
		msg, err := sub.NextMsgWithContext(wait)
		cancel()
		if err != nil {
			return calls, context.Cause(ctx)
		}
		var stats struct {
			Endpoints []struct {
				NumRequests uint64 `json:"num_requests"`
			} `json:"endpoints"`
		}
		if err := contract.UnmarshalLenient(msg.Data, &stats); err != nil {
			return 0, fmt.Errorf("read a service's statistics: %w", err)
		}
		for _, e := range stats.Endpoints {
			calls += e.NumRequests
		}
	}
}

// perOrder is what one order takes.
type perOrder struct {
	appends map[string]float64 // by stream
	size    float64            // bytes of one append, headers included
	taken   map[string]float64 // by stream and consumer
	calls   float64
}

func (t traffic) since(before traffic, orders int64) perOrder {
	n := float64(max(orders, 1))
	p := perOrder{
		appends: map[string]float64{}, taken: map[string]float64{}, calls: float64(t.calls-before.calls) / n,
	}
	for name, count := range t.taken {
		p.taken[name] = float64(count-before.taken[name]) / n
	}
	total := 0.0
	for name, last := range t.appends {
		if added := float64(last - before.appends[name]); added > 0 {
			p.appends[name] = added / n
			total += added
		}
	}
	p.size = float64(t.bytes-before.bytes) / max(total, 1)
	return p
}

// own and books are the appends of the mesh and of the outside firms.
func (p perOrder) own() (n float64) {
	for name, a := range p.appends {
		if !strings.HasPrefix(name, "KV_") {
			n += a
		}
	}
	return n
}

func (p perOrder) books() (n float64) {
	for name, a := range p.appends {
		if strings.HasPrefix(name, "KV_") {
			n += a
		}
	}
	return n
}

// deliveries are those to all consumers.
func (p perOrder) deliveries() (n float64) {
	for _, d := range p.taken {
		n += d
	}
	return n
}

// String is one line of figures.
func (p perOrder) String() string {
	verdict := "met"
	if p.own() > appendsGoal {
		verdict = "MISSED"
	}
	return fmt.Sprintf("%.1f appends per order (goal %d: %s) and %.1f in the firms' books, %.0f bytes each; %.1f deliveries, %.1f calls (appends: %s; deliveries: %s)",
		p.own(), appendsGoal, verdict, p.books(), p.size, p.deliveries(), p.calls, each(p.appends), each(p.taken))
}

// each lists the figures that are worth telling.
func each(figures map[string]float64) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(figures)) {
		if figures[name] >= 0.01 {
			parts = append(parts, fmt.Sprintf("%s %.2f", name, figures[name]))
		}
	}
	return strings.Join(parts, ", ")
}

// consumerGroup is a consumer's name without the last part if that has a digit or is
// random: one view or partition is as good as another.
func consumerGroup(name string) string {
	i := strings.LastIndexByte(name, '-')
	if i > 0 && strings.ContainsAny(name[i:], "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") {
		return name[:i]
	}
	return name
}

// deliveryWatcher reads the stream of orders and tells whoever waits for one.
type deliveryWatcher struct {
	context jetstream.ConsumeContext

	mu      sync.Mutex
	waiting map[string]chan struct{}
}

func watchDeliveries(ctx context.Context, nc *nats.Conn) (*deliveryWatcher, error) {
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, err
	}
	consumer, err := js.OrderedConsumer(ctx, "ORDERS", jetstream.OrderedConsumerConfig{
		NamePrefix: benchConsumer, DeliverPolicy: jetstream.DeliverNewPolicy,
	})
	if err != nil {
		return nil, fmt.Errorf("watch the stream of orders: %w", err)
	}
	w := &deliveryWatcher{waiting: map[string]chan struct{}{}}
	w.context, err = consumer.Consume(w.hear, jetstream.PullMaxMessages(2_000))
	return w, err
}

var deliveredType = []byte(`"order.delivered.v1"`)

func (w *deliveryWatcher) hear(msg jetstream.Msg) {
	if !bytes.Contains(msg.Data(), deliveredType) {
		return
	}
	id := strings.TrimPrefix(msg.Subject(), "evt.order.")
	w.mu.Lock()
	defer w.mu.Unlock()
	if ch := w.waiting[id]; ch != nil {
		close(ch)
		delete(w.waiting, id)
	}
}

// expect returns a channel that is closed when the order is delivered.
func (w *deliveryWatcher) expect(id string) <-chan struct{} {
	ch := make(chan struct{})
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waiting[id] = ch
	return ch
}

func (w *deliveryWatcher) stop() { w.context.Stop() }
