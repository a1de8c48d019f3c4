package auth_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ordermesh/ordermesh/bus/auth"
	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/embedded/natsd"
)

func TestMain(m *testing.M) { bustest.Main(m) }

var (
	ask    = contract.NewMethod[struct{}, struct{}]("shop", "ask")
	shop   = contract.Service{Name: "shop", Version: "1.0.0", Serves: []contract.MethodInfo{ask.Info()}}
	client = contract.Service{Name: "client", Version: "1.0.0", Calls: []contract.MethodInfo{ask.Info()}}
	all    = []contract.Service{shop, client}
	small  = auth.Limits{Disk: 64 << 20, Memory: 1 << 20}
)

// folder makes a folder with one tenant.
func folder(t *testing.T) *auth.Folder {
	t.Helper()
	f, err := auth.Init(filepath.Join(t.TempDir(), "auth"))
	check(t, err)
	check(t, f.AddTenant("main", small, all))
	return f
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// serve runs a server that trusts the folder.
func serve(t *testing.T, f *auth.Folder) string {
	t.Helper()
	operator, accounts, err := f.Operator()
	check(t, err)
	s, err := natsd.Start(natsd.Config{Port: -1, StoreDir: t.TempDir(), Operator: &natsd.Operator{JWT: operator, Accounts: accounts}})
	check(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Error(err)
		}
	})
	return s.URL()
}

func dial(t *testing.T, url, creds string, opts ...nats.Option) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(url, append(opts, nats.UserCredentials(creds))...)
	check(t, err)
	t.Cleanup(nc.Close)
	return nc
}

func TestServicesAndPeopleConnect(t *testing.T) {
	t.Parallel()
	f := folder(t)
	url := serve(t, f)
	serving := dial(t, url, f.Creds("main", "shop"))
	_, err := serving.QueueSubscribe(ask.Subject(), "q", func(m *nats.Msg) { _ = m.Respond([]byte("{}")) })
	check(t, err)
	check(t, serving.Flush())
	caller := dial(t, url, f.Creds("main", "client"), nats.CustomInboxPrefix("_INBOX_client"))
	if _, err := caller.Request(ask.Subject(), nil, 5*time.Second); err != nil {
		t.Errorf("a derived call failed: %v", err)
	}
	admin, err := jetstream.New(dial(t, url, f.Creds("main", auth.Admin)))
	check(t, err)
	if _, err := admin.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}}); err != nil {
		t.Errorf("the provisioner cannot make a stream: %v", err)
	}
}

func TestSecretsAreForTheOwnerAlone(t *testing.T) {
	t.Parallel()
	f := folder(t)
	_, err := f.MakeTLS([]string{"localhost"})
	check(t, err)
	secret := func(path string) bool {
		return strings.HasSuffix(path, ".nk") || strings.HasSuffix(path, ".creds") || strings.HasSuffix(path, "-key.pem")
	}
	seen := 0
	check(t, filepath.WalkDir(f.Dir(), func(path string, d os.DirEntry, err error) error {
		check(t, err)
		info, err := d.Info()
		check(t, err)
		switch mode := info.Mode().Perm(); {
		case d.IsDir() && mode != 0o700:
			t.Errorf("folder %s has mode %o", path, mode)
		case secret(path):
			seen++
			if mode != 0o600 {
				t.Errorf("%s has mode %o", path, mode)
			}
		case !d.IsDir() && strings.Contains(contentOf(t, path), "SEED"):
			t.Errorf("%s holds a seed", path)
		}
		return nil
	}))
	if want := 7 + 4 + 3; seen != want {
		t.Errorf("%d secrets were looked at, want %d", seen, want)
	}
	key := filepath.Join(f.Dir(), "keys", "main.shop.nk")
	check(t, os.Chmod(key, 0o640))
	if err := f.AddUser("main", "shop", "second", 0); err == nil || !strings.Contains(err.Error(), key) {
		t.Errorf("a key that the group may read was used: %v", err)
	}
}

func contentOf(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	check(t, err)
	return string(text)
}

func TestRotatedUsersAreRefusedAfterPush(t *testing.T) {
	t.Parallel()
	f := folder(t)
	url := serve(t, f)
	check(t, f.AddUser("main", auth.Observer, "anna", time.Hour))
	for _, who := range []string{"shop", "anna"} {
		old := filepath.Join(t.TempDir(), "old.creds")
		check(t, os.WriteFile(old, []byte(contentOf(t, f.Creds("main", who))), 0o600))
		closed := make(chan struct{})
		dial(t, url, old, nats.NoReconnect(), nats.ClosedHandler(func(*nats.Conn) { close(closed) }))
		renewed, err := f.Rotate("main", who)
		check(t, err)
		if len(renewed) != 1 || renewed[0].Name != who {
			t.Errorf("rotating %s renewed %v", who, renewed)
		}
		dial(t, url, old).Close() // nothing changes before the push
		pushed, err := f.Push(t.Context(), dial(t, url, f.SystemCreds()))
		check(t, err)
		if len(pushed) != 2 {
			t.Errorf("pushed %v, want the system account and the tenant", pushed)
		}
		select {
		case <-closed:
		case <-time.After(20 * time.Second):
			t.Errorf("the old connection of %s lives on", who)
		}
		if _, err := nats.Connect(url, nats.UserCredentials(old)); !errors.Is(err, nats.ErrAuthorization) {
			t.Errorf("the old credentials of %s: %v", who, err)
		}
		dial(t, url, f.Creds("main", who))
	}
}

func TestTenantAddedToARunningServer(t *testing.T) {
	t.Parallel()
	f := folder(t)
	url := serve(t, f)
	check(t, f.AddTenant("late", small, all))
	_, err := f.Push(t.Context(), dial(t, url, f.SystemCreds()))
	check(t, err)
	js, err := jetstream.New(dial(t, url, f.Creds("late", auth.Admin)))
	check(t, err)
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}}); err != nil {
		t.Errorf("a tenant that was added later has no streams: %v", err)
	}
}

// TestConfIsForARealServer: what nats-server.conf includes is understood by the server.
func TestConfIsForARealServer(t *testing.T) {
	t.Parallel()
	f := folder(t)
	conf := filepath.Join(t.TempDir(), "nats-server.conf")
	text := contentOf(t, f.ConfFile())
	check(t, os.WriteFile(conf, []byte(strings.Replace(text, "./accounts", filepath.Join(t.TempDir(), "accounts"), 1)), 0o600))
	opts, err := server.ProcessConfigFile(conf)
	check(t, err)
	opts.Host, opts.Port, opts.StoreDir, opts.JetStream, opts.NoSigs = "127.0.0.1", -1, t.TempDir(), true, true
	s, err := server.NewServer(opts)
	check(t, err)
	s.Start()
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	if !s.ReadyForConnections(20 * time.Second) {
		t.Fatal("the server does not answer")
	}
	dial(t, s.ClientURL(), f.Creds("main", "shop"))
	if _, err := nats.Connect(s.ClientURL()); !errors.Is(err, nats.ErrAuthorization) {
		t.Errorf("somebody without credentials got in: %v", err)
	}
}

// TestCheckFindsWhatDiffers: other descriptors, expired users, open keys; and nothing else.
func TestCheckFindsWhatDiffers(t *testing.T) {
	t.Parallel()
	f := folder(t)
	_, err := f.MakeTLS([]string{"localhost"})
	check(t, err)
	check(t, f.AddUser("main", auth.Observer, "anna", time.Hour))
	found := func(services []contract.Service, now time.Time) string {
		t.Helper()
		problems, err := f.Check(services, now)
		check(t, err)
		var text []string
		for _, p := range problems {
			text = append(text, p.String())
		}
		return strings.Join(text, "\n")
	}
	if got := found(all, time.Now()); got != "" {
		t.Errorf("problems in a new folder: %s", got)
	}
	more := contract.Service{Name: "shop", Serves: shop.Serves, Books: []string{"prices"}}
	if got := found([]contract.Service{more}, time.Now()); !strings.Contains(got, "shop has other permissions") || !strings.Contains(got, "client has a signing key") {
		t.Errorf("changed descriptors: %s", got)
	}
	check(t, f.Update("main", nil, []contract.Service{more}))
	if got := found([]contract.Service{more}, time.Now()); !strings.Contains(got, "user client has the role client, which is gone") {
		t.Errorf("after the update: %s", got)
	}
	if got := found([]contract.Service{more}, time.Now().AddDate(2, 0, 0)); !strings.Contains(got, "user anna expired") || !strings.Contains(got, "server.pem expired") {
		t.Errorf("after two years: %s", got)
	}
}
