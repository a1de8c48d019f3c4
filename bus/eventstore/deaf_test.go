package eventstore_test

import (
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/eventstore"
)

// F08: commands are stored and every acknowledgement is lost on its way, with the
// connection. Each writer finds its own event and its caller gets success, once.
func TestEveryAcknowledgementIsLost(t *testing.T) {
	t.Parallel()
	const writers = 100
	rounds := 2
	if os.Getenv("MESH_LONG") != "" {
		rounds = 10
	}
	bustest.Each(t, func(t *testing.T, b *bustest.Broker) {
		t.Helper()
		first, _, _ := strings.Cut(strings.TrimPrefix(b.URL(), "nats://"), ",")
		link := bustest.NewLink(t, first)
		conn, err := bus.Dial(t.Context(), bus.Config{URL: "nats://" + link.Addr(), Service: "deaf",
			Options: []nats.Option{nats.IgnoreDiscoveredServers()}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(conn.Close)
		through, direct := newCounters(eventstore.NewJetStreamLog(conn, stream.Name)), b.Dial(t).JetStream()
		for round := range rounds {
			bustest.Eventually(t, 30*time.Second, conn.NATS().IsConnected, "a connection")
			link.Deafen()
			var running sync.WaitGroup
			var answered atomic.Int64
			for w := range writers {
				running.Go(func() {
					defer answered.Add(1)
					_, version, err := through.Do(t.Context(), strconv.Itoa(w), "round-"+strconv.Itoa(round), command{add: 1})
					if err != nil || version != uint64(round)+1 {
						t.Errorf("round %d, writer %d: version %d, %v", round, w, version, err)
					}
				})
			}
			bustest.Eventually(t, 30*time.Second, func() bool {
				s, err := direct.Stream(t.Context(), stream.Name)
				return err == nil && s.CachedInfo().State.Msgs >= uint64(writers*(round+1))
			}, "everything to be stored")
			if n := answered.Load(); n > 0 {
				t.Errorf("round %d: %d acknowledgements were not lost", round, n)
			}
			link.Cut()
			running.Wait()
		}
		for w := range writers {
			history, err := through.History(t.Context(), strconv.Itoa(w))
			if err != nil || len(history) != rounds {
				t.Errorf("writer %d has %d events, %v", w, len(history), err)
			}
		}
		t.Logf("%d acknowledgements were lost, every command was done once", rounds*writers)
	}, bustest.WithStreams(stream))
}
