package bench

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	rawOrdersStream = "BENCH_ORDERS"
	rawTaken        = "bench.taken." // messages that a consumer takes before the chain goes on
	rawStored       = "bench.stored."
	rawCall         = "bench.call"
	rawCallBytes    = 300
	rawHeaderBytes  = 200 // of an append of ordermesh, about
)

// rawChain does by hand what an order makes a server do: calls, compare-and-appends
// and deliveries in one row, each after the one before, on connections of their own
// for caller, server and consumer. It decides nothing and decodes nothing.
type rawChain struct {
	conns   []*nats.Conn
	caller  *nats.Conn
	js      jetstream.JetStream
	stop    func()
	body    []byte
	call    []byte
	run     string
	n       atomic.Int64
	appends int // of which taken are delivered
	taken   int
	calls   int

	mu      sync.Mutex
	waiting map[string]chan struct{}
}

func newRawChain(ctx context.Context, url string) (*rawChain, error) {
	r := &rawChain{run: strconv.FormatInt(int64(os.Getpid()), 36), waiting: map[string]chan struct{}{}, call: bytes.Repeat([]byte("x"), rawCallBytes)}
	for _, name := range []string{"bench-caller", "bench-server", "bench-consumer"} {
		nc, err := nats.Connect(url, nats.Name(name))
		if err != nil {
			r.close()
			return nil, err
		}
		r.conns = append(r.conns, nc)
	}
	r.caller = r.conns[0]
	if err := r.serve(ctx); err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

// serve answers calls, makes the stream and takes messages from it.
func (r *rawChain) serve(ctx context.Context) error {
	if _, err := r.conns[1].Subscribe(rawCall, func(m *nats.Msg) { _ = m.Respond(m.Data) }); err != nil {
		return err
	}
	var err error
	if r.js, err = jetstream.New(r.caller); err != nil {
		return err
	}
	stream := jetstream.StreamConfig{
		Name: rawOrdersStream, Subjects: []string{rawTaken + ">", rawStored + ">"}, Storage: jetstream.FileStorage,
		DenyDelete: true, Discard: jetstream.DiscardNew, AllowDirect: true,
	}
	if _, err = r.js.CreateStream(ctx, stream); err != nil {
		return fmt.Errorf("make the stream %s: %w", rawOrdersStream, err)
	}
	js, err := jetstream.New(r.conns[2])
	if err != nil {
		return err
	}
	consumer, err := js.CreateConsumer(ctx, rawOrdersStream, jetstream.ConsumerConfig{
		Durable: "chain", FilterSubject: rawTaken + ">", AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: 10_000,
	})
	if err != nil {
		return err
	}
	consuming, err := consumer.Consume(r.take, jetstream.PullMaxMessages(2_000))
	if err != nil {
		return err
	}
	r.stop = consuming.Stop
	return nil
}

// imitate sets how much the chain does.
func (r *rawChain) imitate(p perOrder) {
	r.appends = int(math.Round(p.own() + p.books()))
	r.taken = min(r.appends, int(math.Round(p.deliveries())))
	r.calls = int(math.Round(p.calls))
	r.body = bytes.Repeat([]byte("x"), max(1, int(p.size)-rawHeaderBytes))
}

func (r *rawChain) take(msg jetstream.Msg) {
	_ = msg.Ack()
	id := strings.TrimPrefix(msg.Subject(), rawTaken)
	r.mu.Lock()
	defer r.mu.Unlock()
	if ch := r.waiting[id]; ch != nil {
		close(ch)
		delete(r.waiting, id)
	}
}

// order does one chain.
func (r *rawChain) order(ctx context.Context, _ int) error {
	id := r.run + "-" + strconv.FormatInt(r.n.Add(1), 10)
	for i := range max(r.calls, r.appends) {
		if i < r.calls {
			if _, err := r.caller.RequestWithContext(ctx, rawCall, r.call); err != nil {
				return fmt.Errorf("raw call: %w", err)
			}
		}
		if i < r.appends {
			if err := r.append(ctx, id+"."+strconv.Itoa(i), i < r.taken); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *rawChain) append(ctx context.Context, id string, taken bool) error {
	subject := rawStored + id
	var arrived chan struct{}
	if taken {
		subject, arrived = rawTaken+id, make(chan struct{})
		r.mu.Lock()
		r.waiting[id] = arrived
		r.mu.Unlock()
	}
	msg := &nats.Msg{Subject: subject, Data: r.body, Header: nats.Header{"Mesh-Version": {"1-1"}, "Mesh-Prev": {"0"}, "Mesh-Snap": {"self"}}}
	future, err := r.js.PublishMsgAsync(msg, jetstream.WithExpectLastSequencePerSubject(0))
	if err != nil {
		return fmt.Errorf("raw append: %w", err)
	}
	select {
	case <-future.Ok():
	case err := <-future.Err():
		return fmt.Errorf("raw append: %w", err)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if !taken {
		return nil
	}
	select {
	case <-arrived:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (r *rawChain) close() {
	if r.stop != nil {
		r.stop()
	}
	for _, nc := range r.conns {
		nc.Close()
	}
}
