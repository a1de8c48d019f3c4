package judge

import (
	"errors"
	"fmt"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/contracts/catalog"
	"github.com/ordermesh/ordermesh/contracts/inventory"
	"github.com/ordermesh/ordermesh/contracts/orders"
	"github.com/ordermesh/ordermesh/contracts/payments"
	"github.com/ordermesh/ordermesh/contracts/sandbox"
	"github.com/ordermesh/ordermesh/contracts/shipping"
)

func TestMain(m *testing.M) { bustest.Main(m) }

var services = []contract.Service{
	orders.Descriptor, catalog.Descriptor, inventory.Descriptor, payments.Descriptor, shipping.Descriptor, sandbox.Provider, sandbox.Carrier,
}

// store puts a history into real streams.
func store(t testing.TB, conn *bus.Conn, h told) {
	t.Helper()
	var waiting []jetstream.PubAckFuture
	for _, m := range h {
		f, err := conn.JetStream().PublishMsgAsync(&nats.Msg{Subject: m.Subject, Header: m.Header, Data: m.Data})
		if err != nil {
			t.Fatal(err)
		}
		waiting = append(waiting, f)
	}
	for i, f := range waiting {
		select {
		case ack := <-f.Ok():
			if ack.Sequence != h[i].Sequence || ack.Stream != h[i].Stream {
				t.Fatalf("%s was stored as %s %d, want %s %d", h[i].Subject, ack.Stream, ack.Sequence, h[i].Stream, h[i].Sequence)
			}
		case err := <-f.Err():
			t.Fatalf("store %s: %v", h[i].Subject, err)
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		}
	}
}

func TestRunReadsAServer(t *testing.T) {
	t.Parallel()
	bustest.Each(t, func(t *testing.T, b *bustest.Broker) {
		t.Helper()
		conn := b.Dial(t)
		w := good(t)
		store(t, conn, w.tell(len(w.acts)))
		r, err := Run(t.Context(), conn.NATS(), Options{AtRest: true})
		if err != nil {
			t.Fatal(err)
		}
		wantClean(t, r)
		messages := 0
		for _, s := range r.Streams {
			messages += s.Messages
		}
		if messages != len(w.acts) {
			t.Errorf("read %d messages, want %d: %+v", messages, len(w.acts), r.Streams)
		}
		if _, err := conn.JetStream().Publish(t.Context(), "$KV."+sandbox.ProviderBook+".gift.x", []byte("{}")); err != nil {
			t.Fatal(err)
		}
		if r, err = Run(t.Context(), conn.NATS(), Options{}); err != nil {
			t.Fatal(err)
		}
		wantFound(t, r, checkProvider, "gift")
	}, bustest.WithServices(services...))
}

// The last message of a stream may be gone, as a cancelled timer is.
func TestRunReadsUpToTheLastMessageThatIsThere(t *testing.T) {
	t.Parallel()
	conn := bustest.New(t, bustest.WithServices(services...))
	w := good(t)
	store(t, conn, w.tell(len(w.acts)))
	timer := contract.FlowTimer("orders", "checkout", "del", "t1")
	if _, err := conn.JetStream().Publish(t.Context(), timer, []byte("{}")); err != nil {
		t.Fatal(err)
	}
	flow, err := conn.JetStream().Stream(t.Context(), contract.FlowStream)
	if err != nil {
		t.Fatal(err)
	}
	if err := flow.Purge(t.Context(), jetstream.WithPurgeSubject(timer)); err != nil {
		t.Fatal(err)
	}
	r, err := Run(t.Context(), conn.NATS(), Options{AtRest: true})
	if err != nil {
		t.Fatal(err)
	}
	wantClean(t, r)
}

func TestRunOnAnEmptyMeshIsClean(t *testing.T) {
	t.Parallel()
	conn := bustest.New(t, bustest.WithServices(orders.Descriptor))
	r, err := Run(t.Context(), conn.NATS(), Options{AtRest: true})
	if err != nil {
		t.Fatal(err)
	}
	wantClean(t, r)
	for _, s := range r.Streams {
		if want := s.Name == "ORDERS" || s.Name == contract.FlowStream || s.Name == contract.DLQStream; s.Exists != want {
			t.Errorf("stream %s exists: %v", s.Name, s.Exists)
		}
	}
}

func TestRunRefusesAServerWithoutAMesh(t *testing.T) {
	t.Parallel()
	conn := bustest.New(t)
	if _, err := Run(t.Context(), conn.NATS(), Options{}); !errors.Is(err, ErrNoMesh) {
		t.Errorf("got %v, want %v", err, ErrNoMesh)
	}
}

func BenchmarkRun(b *testing.B) {
	conn := bustest.New(b, bustest.WithServices(services...))
	w := good(b)
	for i := range 2000 {
		w.deliver(fmt.Sprintf("o%d", i))
	}
	w.edit("evt.stock.TEA", "", "100", "100000")
	w.edit("evt.stock.POT", "", "100", "100000")
	h := w.tell(len(w.acts))
	store(b, conn, h)
	for b.Loop() {
		r, err := Run(b.Context(), conn.NATS(), Options{AtRest: true})
		if err != nil || !r.Clean {
			b.Fatal(r.Count(), err)
		}
	}
	b.ReportMetric(float64(len(h)*b.N)/b.Elapsed().Seconds(), "messages/s")
}
