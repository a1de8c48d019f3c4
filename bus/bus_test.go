package bus_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/embedded/natsd"
)

var things = contract.StreamSpec{Name: "THINGS", Subjects: []string{"evt.thing.*"}, DiscardNew: true, DenyDelete: true}

func start(t *testing.T, cfg natsd.Config) *natsd.Server {
	t.Helper()
	cfg.Port, cfg.StoreDir = -1, t.TempDir()
	srv, err := natsd.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = srv.Shutdown(ctx)
	})
	return srv
}

func dial(t *testing.T, cfg bus.Config) *bus.Conn {
	t.Helper()
	conn, err := bus.Dial(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return conn
}

func connected(t *testing.T) (*natsd.Server, *bus.Conn) {
	t.Helper()
	srv := start(t, natsd.Config{})
	conn := dial(t, bus.Config{URL: srv.URL(), Service: "test"})
	if err := bus.Provision(t.Context(), conn, []contract.StreamSpec{things}, 1); err != nil {
		t.Fatal(err)
	}
	return srv, conn
}

func message(id, data string) *nats.Msg {
	return &nats.Msg{Subject: "evt.thing." + id, Data: []byte(data)}
}

func TestAppendComparesBeforeItStores(t *testing.T) {
	t.Parallel()
	_, conn := connected(t)
	first, err := conn.Appender().Append(t.Context(), message("a", "1"), 0)
	if err != nil || first.Stream != "THINGS" || first.Sequence != 1 {
		t.Fatalf("got %+v, %v", first, err)
	}
	if _, err := conn.Appender().Append(t.Context(), message("a", "2"), 0); !errors.Is(err, bus.ErrConflict) {
		t.Errorf("a stale expectation gave %v", err)
	}
	if _, err := conn.Appender().Append(t.Context(), message("b", "1"), 0); err != nil {
		t.Errorf("another subject is in the way: %v", err)
	}
	if ack, err := conn.Appender().Append(t.Context(), message("a", "2"), first.Sequence); err != nil || ack.Sequence != 3 {
		t.Errorf("got %+v, %v", ack, err)
	}
	if ack, err := conn.Appender().Append(t.Context(), message("a", "3"), bus.NoExpectation); err != nil || ack.Sequence != 4 {
		t.Errorf("got %+v, %v", ack, err)
	}
}

func TestFiftyWritersNeverForkOneSubject(t *testing.T) {
	t.Parallel()
	_, conn := connected(t)
	var stored sync.Map
	var writers sync.WaitGroup
	for w := range 50 {
		writers.Go(func() {
			for expect := uint64(0); expect < 20; {
				ack, err := conn.Appender().Append(t.Context(), message("a", fmt.Sprint(w)), expect)
				switch {
				case err == nil:
					if other, twice := stored.LoadOrStore(ack.Sequence, w); twice {
						t.Errorf("sequence %d went to writers %d and %v", ack.Sequence, w, other)
					}
					expect = ack.Sequence
				case errors.Is(err, bus.ErrConflict):
					expect++
				default:
					t.Errorf("writer %d: %v", w, err)
					return
				}
			}
		})
	}
	writers.Wait()
	info, err := conn.JetStream().Stream(t.Context(), "THINGS")
	if err != nil {
		t.Fatal(err)
	}
	count := uint64(0)
	stored.Range(func(any, any) bool { count++; return true })
	if got := info.CachedInfo().State.Msgs; got != count {
		t.Errorf("%d messages are stored, %d were acknowledged", got, count)
	}
}

func TestAppendWithoutAStreamSaysSo(t *testing.T) {
	t.Parallel()
	_, conn := connected(t)
	_, err := conn.Appender().Append(t.Context(), &nats.Msg{Subject: "evt.other.a"}, 0)
	if !errors.Is(err, bus.ErrNoStream) {
		t.Errorf("got %v", err)
	}
}

func TestAppendIsUnknownWhenTheServerIsGone(t *testing.T) {
	t.Parallel()
	srv, conn := connected(t)
	if err := srv.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := conn.Appender().Append(ctx, message("a", "1"), 0)
	if !errors.Is(err, bus.ErrUnknown) && !errors.Is(err, bus.ErrNoStream) {
		t.Errorf("got %v", err)
	}
}

func TestStartCallsBackOnceEvenWhenTheConnectionCloses(t *testing.T) {
	t.Parallel()
	srv, conn := connected(t)
	var mu sync.Mutex
	calls := map[int]int{}
	var pending sync.WaitGroup
	for i := range 200 {
		pending.Add(1)
		err := conn.Appender().Start(message(fmt.Sprint(i), "x"), 0, func(bus.Ack, error) {
			mu.Lock()
			calls[i]++
			mu.Unlock()
			pending.Done()
		})
		if err != nil { // nothing was sent, so nobody calls back
			mu.Lock()
			calls[i]++
			mu.Unlock()
			pending.Done()
		}
		if i == 100 {
			if err := srv.Shutdown(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	conn.Close()
	pending.Wait()
	for i, n := range calls {
		if n != 1 {
			t.Errorf("append %d was called back %d times", i, n)
		}
	}
}

func TestADeniedAppendIsAnErrorAndNoTimeOut(t *testing.T) {
	t.Parallel()
	srv := start(t, natsd.Config{Users: []natsd.User{
		{Name: "root", Password: "r", Admin: true},
		{Name: "small", Password: "s", Publish: []string{"evt.thing.mine"}, Subscribe: []string{"_INBOX_small.>"}},
	}})
	admin := dial(t, bus.Config{URL: srv.URL(), Service: "root", User: "root", Password: "r"})
	if err := bus.Provision(t.Context(), admin, []contract.StreamSpec{things}, 1); err != nil {
		t.Fatal(err)
	}
	conn := dial(t, bus.Config{URL: srv.URL(), Service: "small", User: "small", Password: "s"})
	if _, err := conn.Appender().Append(t.Context(), message("mine", "1"), 0); err != nil {
		t.Fatal(err)
	}
	_, err := conn.Appender().Append(t.Context(), message("yours", "1"), 0)
	var denied bus.Denied
	if !errors.As(err, &denied) || denied.Subject != "evt.thing.yours" || denied.Op != "publish" {
		t.Errorf("got %v", err)
	}
}

func TestDialWaitsForTheServerButNotForAPassword(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := bus.Dial(ctx, bus.Config{URL: "nats://127.0.0.1:1", Service: "test"}); err == nil || !strings.Contains(err.Error(), "is the server running") {
		t.Errorf("got %v", err)
	}
	srv := start(t, natsd.Config{Users: []natsd.User{{Name: "root", Password: "r", Admin: true}}})
	if _, err := bus.Dial(t.Context(), bus.Config{URL: srv.URL(), Service: "test", User: "root", Password: "wrong"}); !errors.Is(err, nats.ErrAuthorization) {
		t.Errorf("got %v", err)
	}
	if _, err := bus.Dial(t.Context(), bus.Config{Service: "no.dots"}); err == nil {
		t.Error("a service name with a dot was accepted")
	}
}

func TestProvisionKeepsWhatAStreamSaysOfItself(t *testing.T) {
	t.Parallel()
	_, conn := connected(t)
	spec := contract.StreamSpec{Name: "FLOW", Subjects: []string{"flow.*.in.>"}, Metadata: map[string]string{"partitions": "16"}}
	for _, metadata := range []map[string]string{{"partitions": "16"}, {"partitions": "8", "other": "x"}, nil} {
		spec.Metadata = metadata
		if err := bus.Provision(t.Context(), conn, []contract.StreamSpec{spec}, 1); err != nil {
			t.Fatal(err)
		}
	}
	stream, err := conn.JetStream().Stream(t.Context(), "FLOW")
	if err != nil {
		t.Fatal(err)
	}
	if got := stream.CachedInfo().Config.Metadata; got["partitions"] != "16" || got["other"] != "x" {
		t.Errorf("got %v", got)
	}
}

func TestProvisionIsRepeatableAndConcurrent(t *testing.T) {
	t.Parallel()
	_, conn := connected(t)
	specs := []contract.StreamSpec{things,
		{Name: "FLOW", Subjects: []string{"flow.*.in.>", "flow.*.timer.>"}, Schedules: true},
		{Name: "leases", KV: true, History: 1, MarkerTTL: 2 * time.Second}}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			if err := bus.Provision(t.Context(), conn, specs, 1); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if _, err := conn.JetStream().KeyValue(t.Context(), "leases"); err != nil {
		t.Error(err)
	}
	stream, err := conn.JetStream().Stream(t.Context(), "FLOW")
	if err != nil || !stream.CachedInfo().Config.AllowMsgSchedules {
		t.Errorf("the flow stream cannot schedule: %v", err)
	}
}

type runner func(context.Context) error

func (r runner) Run(ctx context.Context) error { return r(ctx) }

func TestRunEndsAllWhenOneFails(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	ended := false
	err := bus.Run(t.Context(),
		runner(func(context.Context) error { return broken }),
		runner(func(ctx context.Context) error { <-ctx.Done(); ended = true; return nil }))
	if !errors.Is(err, broken) || !ended {
		t.Errorf("got %v, the other ended: %v", err, ended)
	}
}
