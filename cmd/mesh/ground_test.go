package main

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"

	"github.com/ordermesh/ordermesh/bus/auth"
	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/cmd/mesh/chaos"
	"github.com/ordermesh/ordermesh/embedded/natsd"
)

// ground is what services run on when they run apart in profile production: servers
// with the streams as `mesh topology apply` makes them, and a user for each service with
// the rights of production.
type ground struct {
	url  string
	args []string                      // what `mesh run` is told
	env  func(service string) []string // how a service connects
	tool []string                      // flags by which a tool connects
	opts []nats.Option                 // the same for the test itself
}

// oneServer is a single server that knows its users by password.
func oneServer(t *testing.T) *ground {
	t.Helper()
	users, passwords := productionUsers(descriptors(allServices()))
	server := bustest.Server(t, bustest.WithServer(natsd.Config{Users: users, DefaultUser: developer}))
	g := &ground{
		url: server.URL(), args: rehearsal, tool: []string{"--nats", server.URL()},
		env: func(service string) []string {
			return []string{"NATS_URL=" + asUser(t, server.URL(), service, passwords[service])}
		},
	}
	g.apply(t, "1")
	return g
}

// threeServers are a cluster of processes that trust an operator, encrypt, and want
// certificates from their clients.
func threeServers(t *testing.T) *ground {
	t.Helper()
	const tenant = "shop"
	folder, err := auth.Init(filepath.Join(t.TempDir(), "auth"))
	if err != nil {
		t.Fatal(err)
	}
	if err := folder.AddTenant(tenant, auth.Limits{}, descriptors(allServices())); err != nil {
		t.Fatal(err)
	}
	tls, err := folder.MakeTLS([]string{"127.0.0.1", "localhost"})
	if err != nil {
		t.Fatal(err)
	}
	operator, accounts, err := folder.Operator()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	servers, err := natsd.StartChildCluster(ctx, 3, t.TempDir(), natsd.Config{
		Operator: &natsd.Operator{JWT: operator, Accounts: accounts}, SyncAlways: true,
		TLS: &natsd.TLS{Cert: tls.ServerCert, Key: tls.ServerKey, ClientCA: tls.CA},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := servers.Close(); err != nil {
			t.Error(err)
		}
	})
	secure := []string{"--nats", servers.URL(), "--tls-ca", tls.CA, "--tls-cert", tls.ClientCert, "--tls-key", tls.ClientKey}
	g := &ground{
		url:  servers.URL(),
		args: append([]string{"--profile", "production", "--server-sync", "always", "--sandbox", "--creds", folder.CredsDir(tenant)}, secure...),
		env:  func(string) []string { return nil },
		tool: append([]string{"--creds", folder.Creds(tenant, auth.Admin)}, secure...),
		opts: []nats.Option{nats.UserCredentials(folder.Creds(tenant, auth.Admin)), nats.RootCAs(tls.CA), nats.ClientCert(tls.ClientCert, tls.ClientKey)},
	}
	g.apply(t, "3")
	if code, out := runMesh(t, append([]string{"topology", "check", "--system-creds", folder.SystemCreds()}, g.tool...)...); code != exitBad || !containsAll(out, "stores in") {
		t.Errorf("the servers of a test store where it is emptied at a restart, and that is all: exit code %d: %s", code, out)
	}
	return g
}

func (g *ground) apply(t *testing.T, replicas string) {
	t.Helper()
	if code, out := runMesh(t, append([]string{"topology", "apply", "--replicas", replicas}, g.tool...)...); code != exitGood {
		t.Fatalf("topology apply: exit code %d: %s", code, out)
	}
	makeRoles(t)
}

// makeRoles does what an administrator of PostgreSQL does before a production, where the
// processes of the test keep their views in one.
func makeRoles(t *testing.T) {
	t.Helper()
	for _, env := range databaseOf(t) {
		conn, err := pgx.Connect(t.Context(), strings.TrimPrefix(env, "DATABASE_URL="))
		if err != nil {
			t.Fatal(err)
		}
		code, sql := runMesh(t, "view", "roles")
		_, err = conn.Exec(t.Context(), sql, pgx.QueryExecModeSimpleProtocol)
		if err = errors.Join(err, conn.Close(t.Context())); err != nil || code != exitGood {
			t.Fatalf("view roles: exit code %d, %v", code, err)
		}
	}
}

// launch starts a process with one service.
func (g *ground) launch(t *testing.T, service string) *child {
	t.Helper()
	return launchMeshWith(t, g.env(service), append([]string{"run", service}, g.args...)...)
}

// shop is a client with all rights.
func (g *ground) shop(t *testing.T) shop {
	t.Helper()
	nc, err := nats.Connect(g.url, g.opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return shop{t, nc}
}

// customers are a client that insists on answers and a book of what it was told.
func (g *ground) customers(t *testing.T) (*chaos.Client, *chaos.Ledger) {
	t.Helper()
	ledger, err := chaos.NewLedger(filepath.Join(t.TempDir(), "acknowledged.txt"))
	if err != nil {
		t.Fatal(err)
	}
	client, err := chaos.Dial(g.url, g.opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		client.Close()
		if err := ledger.Close(); err != nil {
			t.Error(err)
		}
	})
	return client, ledger
}

func containsAll(text string, parts ...string) bool {
	for _, part := range parts {
		if !strings.Contains(text, part) {
			return false
		}
	}
	return true
}
