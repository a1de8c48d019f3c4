package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ordermesh/ordermesh/bus/auth"
	"github.com/ordermesh/ordermesh/bus/bustest"
)

// authWorld is a folder made by the command, and a server that trusts it and demands
// certificates.
func authWorld(t *testing.T) (dir string, folder *auth.Folder, server *bustest.Broker) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "auth")
	mustRun(t, "auth", "init", "--dir", dir, "--tls", "127.0.0.1", "--disk", "1073741824")
	folder, err := auth.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return dir, folder, bustest.Server(t, bustest.WithAuth(folder, defaultTenant))
}

func mustRun(t *testing.T, args ...string) string {
	t.Helper()
	code, out := runMesh(t, args...)
	if code != exitGood {
		t.Fatalf("%v: exit code %d: %s", args, code, out)
	}
	return out
}

// refusedRun expects a usage error that says all of this.
func refusedRun(t *testing.T, args []string, says ...string) {
	t.Helper()
	code, out := runMesh(t, args...)
	if code != exitUsage {
		t.Errorf("%v: exit code %d: %s", args, code, out)
	}
	for _, want := range says {
		if !strings.Contains(out, want) {
			t.Errorf("%v says %q, want %q", args, out, want)
		}
	}
}

// TestAuthLifecycle: identities are made, given out, checked, rotated and pushed; the old
// ones are refused and the others work on.
func TestAuthLifecycle(t *testing.T) {
	t.Parallel()
	dir, folder, server := authWorld(t)
	files := folder.TLSFiles()
	connect := func(creds string) []string {
		return []string{"--nats", server.URL(), "--creds", creds, "--tls-ca", files.CA, "--tls-cert", files.ClientCert, "--tls-key", files.ClientKey}
	}
	mustRun(t, append([]string{"topology", "apply", "--replicas", "1"}, connect(folder.CredsDir(defaultTenant))...)...)
	mustRun(t, "auth", "add", "person", "anna", "--expires", "1h", "--dir", dir)
	mustRun(t, append([]string{"dlq", "list"}, connect(folder.Creds(defaultTenant, "anna"))...)...)
	out := mustRun(t, "auth", "ls", "--dir", dir)
	if !strings.Contains(out, "anna") || !strings.Contains(out, "orders") || !strings.Contains(out, "1.0 GiB") {
		t.Errorf("ls shows\n%s", out)
	}
	mustRun(t, "auth", "check", "--dir", dir, "--nats", server.URL())

	old := filepath.Join(t.TempDir(), "old.creds")
	text, err := os.ReadFile(folder.Creds(defaultTenant, auth.Admin))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(old, text, 0o600); err != nil {
		t.Fatal(err)
	}
	mustRun(t, "auth", "rotate", auth.Admin, "--dir", dir)
	if code, out := runMesh(t, "auth", "check", "--dir", dir, "--nats", server.URL()); code != exitBad || !strings.Contains(out, "mesh auth push") {
		t.Errorf("check before the push: exit code %d: %s", code, out)
	}
	mustRun(t, "auth", "push", "--dir", dir, "--nats", server.URL())
	refusedRun(t, append([]string{"dlq", "list"}, connect(old)...), "refuses the credentials", "rotated")
	mustRun(t, append([]string{"dlq", "list"}, connect(folder.Creds(defaultTenant, auth.Admin))...)...)

	mustRun(t, "auth", "add", "tenant", "second", "--dir", dir, "--disk", "1048576")
	mustRun(t, "auth", "push", "--dir", dir, "--nats", server.URL())
	if code, out := runMesh(t, append([]string{"topology", "check"}, connect(folder.Creds("second", auth.Admin))...)...); code != exitBad || !strings.Contains(out, "ORDERS is missing") {
		t.Errorf("the second tenant sees streams: exit code %d: %s", code, out)
	}
}

func TestAuthSaysWhatToDo(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "auth")
	refusedRun(t, []string{"auth", "ls", "--dir", dir}, "mesh auth init")
	mustRun(t, "auth", "init", "--dir", dir)
	refusedRun(t, []string{"auth", "init", "--dir", dir}, "exists already", "mesh auth add")
	refusedRun(t, []string{"auth", "add", "tenant", "main", "--dir", dir}, "exists already", "mesh auth update")
	refusedRun(t, []string{"auth", "add", "tenant", "a.b", "--dir", dir}, "A-Z a-z 0-9")
	refusedRun(t, []string{"auth", "add", "tenant", "system", "--dir", dir}, "another name")
	refusedRun(t, []string{"auth", "add", "person", "bob", "--role", "king", "--dir", dir}, "observer", "admin")
	refusedRun(t, []string{"auth", "add", "person", "bob", "--tenant", "other", "--dir", dir}, "no tenant", "main")
	refusedRun(t, []string{"auth", "add", "person", "orders", "--dir", dir}, "exists already")
	refusedRun(t, []string{"auth", "add", "service-user", "orders", "--dir", dir}, "--name")
	refusedRun(t, []string{"auth", "add", "service-user", "nobody", "--name", "x", "--dir", dir}, "nobody")
	refusedRun(t, []string{"auth", "rotate", "nobody", "--dir", dir}, "mesh auth ls")
	refusedRun(t, []string{"auth", "tls"}, "host")
	key := filepath.Join(dir, "keys", "main.orders.nk")
	if err := os.Chmod(key, 0o644); err != nil {
		t.Fatal(err)
	}
	refusedRun(t, []string{"auth", "add", "service-user", "orders", "--name", "x", "--dir", dir}, key, "chmod 600")
	if code, out := runMesh(t, "auth", "check", "--dir", dir); code != exitBad || !strings.Contains(out, key) {
		t.Errorf("check: exit code %d: %s", code, out)
	}
}
