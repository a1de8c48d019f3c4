package natsd_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/ordermesh/ordermesh/embedded/natsd"
)

func TestMain(m *testing.M) {
	natsd.ChildMain()
	goleak.VerifyTestMain(m)
}

// run starts a server that ends with the test.
func run(t *testing.T, cfg natsd.Config) *natsd.Server {
	t.Helper()
	if cfg.StoreDir == "" {
		cfg.StoreDir = t.TempDir()
	}
	if cfg.Port == 0 {
		cfg.Port = -1
	}
	s, err := natsd.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shutdown(t, s) })
	return s
}

func shutdown(t *testing.T, s *natsd.Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		t.Error(err)
	}
}

func dial(t *testing.T, url string, opts ...nats.Option) *nats.Conn {
	t.Helper()
	closed := make(chan struct{})
	opts = append(opts, nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond),
		nats.ClosedHandler(func(*nats.Conn) { close(closed) }))
	nc, err := nats.Connect(url, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		nc.Close()
		<-closed
	})
	return nc
}

func stream(t *testing.T, nc *nats.Conn, replicas int) jetstream.JetStream {
	t.Helper()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	_, err = js.CreateOrUpdateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}, Replicas: replicas})
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// publish stores n messages and returns when all are acknowledged, trying each
// again until ctx ends.
func publish(ctx context.Context, t *testing.T, js jetstream.JetStream, n int) {
	t.Helper()
	for i := range n {
		for {
			try, cancel := context.WithTimeout(ctx, 2*time.Second)
			_, err := js.Publish(try, fmt.Sprintf("s.%d", i), []byte("x"))
			cancel()
			if err == nil {
				break
			}
			if ctx.Err() != nil {
				t.Fatalf("message %d was not acknowledged: %v", i, err)
			}
		}
	}
}

func stored(t *testing.T, js jetstream.JetStream) uint64 {
	t.Helper()
	s, err := js.Stream(t.Context(), "S")
	if err != nil {
		t.Fatal(err)
	}
	return s.CachedInfo().State.Msgs
}

func TestServerAnswersUntilShutdown(t *testing.T) {
	t.Parallel()
	s := run(t, natsd.Config{SyncAlways: true})
	nc := dial(t, s.URL())
	js := stream(t, nc, 1)
	publish(t.Context(), t, js, 3)
	if got := stored(t, js); got != 3 {
		t.Errorf("the stream has %d messages, want 3", got)
	}
	if err := s.Healthy(); err != nil {
		t.Error(err)
	}
	if !s.LeadsStream("S") {
		t.Error("a single server must lead its streams")
	}
	shutdown(t, s)
	if _, err := nats.Connect(s.URL()); err == nil {
		t.Error("the server still answers after Shutdown")
	}
}

func TestInProcessConnection(t *testing.T) {
	t.Parallel()
	s := run(t, natsd.Config{})
	nc := dial(t, "", nats.InProcessServer(s))
	if err := nc.FlushTimeout(5 * time.Second); err != nil {
		t.Error(err)
	}
}

func TestRestartKeepsData(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := run(t, natsd.Config{StoreDir: dir})
	publish(t.Context(), t, stream(t, dial(t, s.URL()), 1), 5)
	shutdown(t, s)
	s = run(t, natsd.Config{StoreDir: dir})
	js, err := jetstream.New(dial(t, s.URL()))
	if err != nil {
		t.Fatal(err)
	}
	if got := stored(t, js); got != 5 {
		t.Errorf("the stream has %d messages after a restart, want 5", got)
	}
}

func TestFailuresAreOneClearSentence(t *testing.T) {
	t.Parallel()
	running := run(t, natsd.Config{})
	dir := t.TempDir()
	run(t, natsd.Config{StoreDir: dir})
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	admin := natsd.User{Name: "a", Password: "p", Admin: true}
	for name, c := range map[string]struct {
		cfg  natsd.Config
		kind error
		says string
	}{
		"port taken":           {natsd.Config{Port: running.Port(), StoreDir: t.TempDir()}, natsd.ErrPortTaken, "choose another port"},
		"bad port":             {natsd.Config{Port: 70000, StoreDir: t.TempDir()}, natsd.ErrConfig, "choose another port"},
		"store in use":         {natsd.Config{Port: -1, StoreDir: dir}, natsd.ErrStoreInUse, fmt.Sprintf("(process %d)", os.Getpid())},
		"store is a file":      {natsd.Config{Port: -1, StoreDir: file}, natsd.ErrStoreUnusable, "choose another"},
		"store below a file":   {natsd.Config{Port: -1, StoreDir: filepath.Join(file, "x")}, natsd.ErrStoreUnusable, "choose another"},
		"no store":             {natsd.Config{Port: -1}, natsd.ErrConfig, "name one"},
		"no such default user": {natsd.Config{Port: -1, StoreDir: t.TempDir(), Users: []natsd.User{admin}, DefaultUser: "b"}, natsd.ErrConfig, "add it"},
		"default of no users":  {natsd.Config{Port: -1, StoreDir: t.TempDir(), DefaultUser: "b"}, natsd.ErrConfig, "add it"},
		"user twice":           {natsd.Config{Port: -1, StoreDir: t.TempDir(), Users: []natsd.User{admin, admin}}, natsd.ErrConfig, "twice"},
		"user without name":    {natsd.Config{Port: -1, StoreDir: t.TempDir(), Users: []natsd.User{{Password: "p"}}}, natsd.ErrConfig, "name"},
		"no password":          {natsd.Config{Port: -1, StoreDir: t.TempDir(), Users: []natsd.User{{Name: "a"}}}, natsd.ErrConfig, "password"},
		"bad subject": {natsd.Config{Port: -1, StoreDir: t.TempDir(), Users: []natsd.User{
			{Name: "a", Password: "p", Publish: []string{"a..b"}},
		}}, natsd.ErrConfig, "a..b"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := natsd.Start(c.cfg)
			if err == nil {
				shutdown(t, s)
				t.Fatal("the server started")
			}
			if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %q, want one sentence of kind %q that says %q", err, c.kind, c.says)
			}
		})
	}
}

func TestStoreIsFreeAfterFailedStart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, err := natsd.Start(natsd.Config{Port: -1, StoreDir: dir, Users: []natsd.User{
		{Name: "a", Password: "p", Publish: []string{"a..b"}},
	}}); err == nil {
		t.Fatal("a bad subject was accepted")
	}
	run(t, natsd.Config{StoreDir: dir})
}

func TestDefaultPort(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp4", "127.0.0.1:4222")
	if err != nil {
		t.Skip("another program uses 4222: ", err)
	}
	if _, err := natsd.Start(natsd.Config{StoreDir: t.TempDir()}); !errors.Is(err, natsd.ErrPortTaken) || !strings.Contains(err.Error(), "port 4222 on 127.0.0.1") {
		t.Errorf("got %v, want that 4222 is taken", err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

// denied connects as a user whose refusals arrive on the channel.
func denied(t *testing.T, url string, opts ...nats.Option) (*nats.Conn, <-chan error) {
	t.Helper()
	errs := make(chan error, 16)
	nc := dial(t, url, append(opts, nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { errs <- err }))...)
	return nc, errs
}

func TestUsersMayOnlyWhatIsListed(t *testing.T) {
	t.Parallel()
	s := run(t, natsd.Config{DefaultUser: "dev", Users: []natsd.User{
		{Name: "dev", Admin: true},
		{Name: "svc", Password: "p", Publish: []string{"out.a"}, Subscribe: []string{"in.>"}},
		{Name: "answerer", Password: "p", Subscribe: []string{"ask"}, AllowResponses: true},
	}})
	dev := dial(t, s.URL())
	heard := make(chan *nats.Msg, 16)
	if _, err := dev.ChanSubscribe("out.>", heard); err != nil {
		t.Fatal(err)
	}
	if err := dev.Flush(); err != nil {
		t.Fatal(err)
	}
	svc, errs := denied(t, s.URL(), nats.UserInfo("svc", "p"))
	for _, subject := range []string{"out.b", "out.a"} {
		if err := svc.Publish(subject, nil); err != nil {
			t.Fatal(err)
		}
	}
	wantDenied(t, errs, "out.b")
	if m := receive(t, heard); m.Subject != "out.a" {
		t.Errorf("the denied subject %s came through", m.Subject)
	}
	if _, err := svc.SubscribeSync("out.a"); err != nil {
		t.Fatal(err)
	}
	wantDenied(t, errs, "out.a")

	answerer, errs := denied(t, s.URL(), nats.UserInfo("answerer", "p"))
	if _, err := answerer.Subscribe("ask", func(m *nats.Msg) { _ = m.Respond([]byte("yes")) }); err != nil {
		t.Fatal(err)
	}
	if err := answerer.Flush(); err != nil {
		t.Fatal(err)
	}
	if m, err := dev.Request("ask", nil, 5*time.Second); err != nil || string(m.Data) != "yes" {
		t.Errorf("request to a user that may only respond: %v", err)
	}
	if err := answerer.Publish("out.a", nil); err != nil {
		t.Fatal(err)
	}
	wantDenied(t, errs, "out.a")
}

func wantDenied(t *testing.T, errs <-chan error, subject string) {
	t.Helper()
	if err := receive(t, errs); !errors.Is(err, nats.ErrPermissionViolation) || !strings.Contains(err.Error(), `"`+subject+`"`) {
		t.Errorf("got %v, want a permission violation on %s", err, subject)
	}
}

func receive[T any](t *testing.T, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(10 * time.Second):
		t.Fatal("nothing arrived")
		panic("unreachable")
	}
}

func TestPasswords(t *testing.T) {
	t.Parallel()
	s := run(t, natsd.Config{DefaultUser: "dev", Users: []natsd.User{{Name: "dev", Admin: true}, {Name: "svc", Password: "p"}}})
	for _, login := range []nats.Option{nats.UserInfo("svc", "q"), nats.UserInfo("svc", ""), nats.UserInfo("dev", ""), nats.UserInfo("nobody", "p")} {
		if nc, err := nats.Connect(s.URL(), login); !errors.Is(err, nats.ErrAuthorization) {
			t.Errorf("a wrong login gave %v, want %v", err, nats.ErrAuthorization)
			nc.Close()
		}
	}
	closed := run(t, natsd.Config{Users: []natsd.User{{Name: "svc", Password: "p"}}})
	if _, err := nats.Connect(closed.URL()); !errors.Is(err, nats.ErrAuthorization) {
		t.Errorf("without a default user a client without credentials got %v", err)
	}
	if text := fmt.Sprintf("%v", natsd.User{Name: "svc", Password: "hidden"}); strings.Contains(text, "hidden") {
		t.Errorf("a printed user shows the password: %s", text)
	}
}

// counter counts the lines per level.
type counter struct {
	slog.Handler
	debug, warn *atomic.Int64
}

func (c counter) Enabled(context.Context, slog.Level) bool { return true }
func (c counter) Handle(_ context.Context, r slog.Record) error {
	if r.Level >= slog.LevelWarn {
		c.warn.Add(1)
	} else {
		c.debug.Add(1)
	}
	return nil
}

func TestLogsThroughSlog(t *testing.T) {
	t.Parallel()
	c := counter{slog.DiscardHandler, new(atomic.Int64), new(atomic.Int64)}
	run(t, natsd.Config{Logger: slog.New(c), Users: []natsd.User{{Name: "svc", Password: "p"}}})
	if c.debug.Load() == 0 {
		t.Error("the server's notices did not reach the logger")
	}
	if n := c.warn.Load(); n != 0 {
		t.Errorf("an ordinary start logged %d warnings", n)
	}
}
