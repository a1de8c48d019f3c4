package bustest_test

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/embedded/natsd"
)

func TestMain(m *testing.M) { bustest.Main(m) }

var things = contract.StreamSpec{Name: "THINGS", Subjects: []string{"evt.thing.*"}, DiscardNew: true, DenyDelete: true}

// appendUntil repeats an append whose outcome is unknown; a repeat that finds its
// own message conflicts, which is an outcome, too.
func appendUntil(t *testing.T, conn *bus.Conn, subject string) {
	t.Helper()
	bustest.Eventually(t, 30*time.Second, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		_, err := conn.Appender().Append(ctx, nats.NewMsg(subject), bus.NoExpectation)
		return err == nil
	}, "an acknowledgement on ", subject)
}

func TestBrokerSurvivesStopAndStart(t *testing.T) {
	t.Parallel()
	bustest.Each(t, func(t *testing.T, b *bustest.Broker) {
		t.Helper()
		conn := b.Dial(t)
		appendUntil(t, conn, "evt.thing.a")
		b.Stop(t, "THINGS")
		b.Start(t)
		appendUntil(t, conn, "evt.thing.b")
		s, err := conn.JetStream().Stream(t.Context(), "THINGS")
		if err != nil {
			t.Fatal(err)
		}
		info := s.CachedInfo()
		if info.Config.Replicas != b.Replicas() {
			t.Errorf("the stream has %d replicas, want %d", info.Config.Replicas, b.Replicas())
		}
		if info.State.NumSubjects != 2 {
			t.Errorf("the stream has %d subjects, want 2", info.State.NumSubjects)
		}
	}, bustest.WithStreams(things))
}

func TestConnectionsShareABroker(t *testing.T) {
	t.Parallel()
	b := bustest.Server(t)
	one, two := b.Dial(t, bustest.WithService("one")), b.Dial(t, bustest.WithService("two"))
	if _, err := one.NATS().Subscribe("q", func(m *nats.Msg) { _ = m.Respond(nil) }); err != nil {
		t.Fatal(err)
	}
	if err := one.NATS().Flush(); err != nil {
		t.Fatal(err)
	}
	if _, err := two.NATS().Request("q", nil, 5*time.Second); err != nil {
		t.Error(err)
	}
	if two.Service() != "two" {
		t.Errorf("the connection is called %s", two.Service())
	}
}

func TestServersAreSeparate(t *testing.T) {
	t.Parallel()
	bustest.New(t, bustest.WithStreams(things))
	conn := bustest.New(t)
	if _, err := conn.JetStream().Stream(t.Context(), "THINGS"); err == nil {
		t.Error("a stream of another test's server is visible")
	}
}

func TestUsers(t *testing.T) {
	t.Parallel()
	b := bustest.Server(t, bustest.WithStreams(things), bustest.WithServer(natsd.Config{
		DefaultUser: "dev",
		Users:       []natsd.User{{Name: "dev", Admin: true}, {Name: "limited", Password: "p", Subscribe: []string{"_INBOX_test.>"}}},
	}))
	denied := make(chan bus.Denied, 1)
	conn := b.Dial(t, bustest.WithUser("limited", "p"))
	defer conn.WatchDenied(func(d bus.Denied) { denied <- d })()
	if err := conn.NATS().Publish("evt.thing.a", nil); err != nil {
		t.Fatal(err)
	}
	select {
	case d := <-denied:
		if d.Subject != "evt.thing.a" {
			t.Errorf("denied %s", d.Subject)
		}
	case <-time.After(10 * time.Second):
		t.Error("a user without rights could publish")
	}
}

// probe records how a helper ends a test.
type probe struct {
	testing.TB
	failed bool
}

type stopped struct{}

func (p *probe) Helper() {}
func (p *probe) Fatalf(string, ...any) {
	p.failed = true
	panic(stopped{})
}

func TestEventuallyFailsInTheEnd(t *testing.T) {
	t.Parallel()
	p := &probe{TB: t}
	func() {
		defer func() {
			if r := recover(); r != nil && r != (stopped{}) {
				panic(r)
			}
		}()
		bustest.Eventually(p, time.Millisecond, func() bool { return false })
	}()
	if !p.failed {
		t.Error("a condition that never holds did not fail the test")
	}
	n := 0
	bustest.Eventually(t, 10*time.Second, func() bool { n++; return n == 3 }, "the third look")
}
