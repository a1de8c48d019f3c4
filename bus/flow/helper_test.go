package flow_test

import (
	"context"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/flow"
)

const service = "shop"

// patience bounds every wait of a test: a loaded machine is slow, not wrong.
const patience = 60 * time.Second

func streams() []contract.StreamSpec {
	return contract.Streams(contract.Service{Name: service, Flows: []contract.FlowInfo{{Name: "any", Version: 1}}})
}

type args struct {
	Text string `json:"text"`
}

type result struct {
	Text string `json:"text"`
}

// world is a broker with a client and a worker.
type world struct {
	t      *testing.T
	broker *bustest.Broker
	client *flow.Client
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return worldOn(t, bustest.Server(t, bustest.WithStreams(streams()...)))
}

func worldOn(t *testing.T, b *bustest.Broker) *world {
	t.Helper()
	return &world{t: t, broker: b, client: flow.NewClient(b.Dial(t, bustest.WithService("caller")), service)}
}

// worker is a running worker.
type worker struct {
	t    *testing.T
	conn *bus.Conn
	stop func() // ends it in good order
}

// work starts a worker and waits until it takes inputs.
func (w *world) work(flows ...flow.Registered) *worker {
	w.t.Helper()
	return start(w.t, w.broker.Dial(w.t, bustest.WithService(service)), flows)
}

func start(t *testing.T, conn *bus.Conn, flows []flow.Registered, opts ...flow.Option) *worker {
	t.Helper()
	fw, err := flow.NewWorker(conn, service, flows, opts...)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- fw.Run(ctx) }()
	var once sync.Once
	stop := func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				t.Error("worker:", err)
			}
		})
	}
	t.Cleanup(stop)
	select {
	case <-fw.Ready():
	case err := <-done:
		t.Fatal("the worker ended:", err)
	case <-time.After(patience):
		t.Fatal("the worker did not become ready")
	}
	return &worker{t: t, conn: conn, stop: stop}
}

// crash cuts the worker off as the end of its process would; nothing that it still
// does reaches anybody.
func (w *worker) crash() { w.conn.Close() }

func within(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// state waits until the instance has the status.
func (w *world) state(name, id string, want flow.Status) flow.State {
	w.t.Helper()
	var s flow.State
	bustest.Eventually(w.t, patience, func() bool {
		var err error
		s, err = w.client.Get(within(w.t), name, id)
		return err == nil && s.Status == want
	}, name, " ", id, " to be ", want)
	return s
}

// book counts effects by key, as the far side of a call would.
type book struct {
	mu      sync.Mutex
	calls   []string
	effects map[string]int
}

func (b *book) note(name, key string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.effects == nil {
		b.effects = map[string]int{}
	}
	b.calls = append(b.calls, name)
	b.effects[key]++
}

func (b *book) names() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]string(nil), b.calls...)
}

func (b *book) count(name string) int {
	n := 0
	for _, c := range b.names() {
		if c == name {
			n++
		}
	}
	return n
}

func itoa(n int) string { return strconv.Itoa(n) }

// pause is a step's work: it takes d.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
