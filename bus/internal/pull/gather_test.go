package pull_test

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/internal/pull"
)

func TestMain(m *testing.M) { bustest.Main(m) }

const patience = 60 * time.Second

// TestWhatHasGatheredIsAskedForAtOnce: the first request is for one message, which tells
// how many there are; the second is for those, and the third waits for another.
func TestWhatHasGatheredIsAskedForAtOnce(t *testing.T) {
	t.Parallel()
	const n = 50
	conn := gathered(t)
	publish := func(i int) {
		if _, err := conn.JetStream().Publish(t.Context(), "gather."+strconv.Itoa(i), nil); err != nil {
			t.Fatal(err)
		}
	}
	for i := range n {
		publish(i)
	}
	requests, err := conn.NATS().SubscribeSync("$JS.API.CONSUMER.MSG.NEXT.GATHER.g")
	if err != nil {
		t.Fatal(err)
	}
	came := make(chan string, n+1)
	puller := pull.New(pull.Config{
		Conn: conn, Stream: "GATHER", Consumer: "g", Limit: 2 * n, Gather: time.Millisecond,
		Room:    func() int { return 2*n - len(came) },
		Deliver: func(m *nats.Msg) { came <- m.Subject },
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- puller.Run(ctx) }()
	for i := range n + 1 {
		if i == n {
			publish(n)
		}
		if subject := receive(t, came); subject != "gather."+strconv.Itoa(i) {
			t.Fatalf("message %d is %s", i, subject)
		}
	}
	cancel()
	if err := receive(t, ended); err != nil {
		t.Error(err)
	}
	for i, want := range []int{1, n - 1, 1} {
		if got := batchOf(t, requests); got != want {
			t.Errorf("request %d asked for %d, want %d", i, got, want)
		}
	}
}

func receive[T any](t *testing.T, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(patience):
		t.Fatal("nothing comes")
		panic("unreachable")
	}
}

// gathered is a connection to a server with a stream GATHER and its consumer g.
func gathered(t *testing.T) *bus.Conn {
	t.Helper()
	conn := bustest.Server(t).Dial(t)
	if _, err := conn.JetStream().CreateStream(t.Context(), jetstream.StreamConfig{Name: "GATHER", Subjects: []string{"gather.>"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.JetStream().CreateConsumer(t.Context(), "GATHER", jetstream.ConsumerConfig{Name: "g", AckPolicy: jetstream.AckNonePolicy}); err != nil {
		t.Fatal(err)
	}
	return conn
}

func batchOf(t *testing.T, requests *nats.Subscription) int {
	t.Helper()
	m, err := requests.NextMsg(patience)
	if err != nil {
		t.Fatal(err)
	}
	var request struct {
		Batch int `json:"batch"`
	}
	if err := contract.UnmarshalLenient(m.Data, &request); err != nil {
		t.Fatal(err)
	}
	return request.Batch
}
