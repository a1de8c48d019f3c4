package main

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/ordermesh/ordermesh/bus/contract"
)

// runMesh runs a command line in this process and returns its exit code and
// everything that it printed.
func runMesh(t *testing.T, args ...string) (int, string) {
	t.Helper()
	var out bytes.Buffer
	code := execute(args, &out, &out)
	return code, out.String()
}

// TestExitCodes: wrong usage and no connection are 2, with one sentence that says
// what to do.
func TestExitCodes(t *testing.T) {
	t.Parallel()
	nobody := "nats://127.0.0.1:" + strconv.Itoa(freePort(t))
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	taken, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { taken.Close() })
	for _, c := range []struct{ args, says string }{
		{"install", "'mesh --help'"},
		{"versio", "did you mean 'version'?"},
		{"version --colour", "'mesh version --help'"},
		{"version now", "'mesh version --help'"},
		{"flow", ""},
		{"flow shw", "did you mean 'show'?"},
		{"flow show checkout", "expected a flow and an id"},
		{"flow show nothing o1", "choose from checkout"},
		{"flow ls --status done", "running, waiting"},
		{"flow ls --older-than 7", "such as 90s"},
		{"flow ls --limit 0", "at least 1"},
		{"flow ls checkout orders", "at most one flow"},
		{"flow ls --service *", "service must be"},
		{"flow start checkout o1 --input {", "is not JSON"},
		{"flow start checkout o1 --input @" + file + "x", "no such file"},
		{"flow check --dir nowhere", "no histories"},
		{"flow check checkout", "unexpected argument"},
		{"flow capture checkout a.b", "no id"},
		{"flow cancel checkout", "expected a flow and an id"},
		{"flow signal checkout o1", "expected a flow and an id and a signal"},
		{"flow signal checkout o1 approved --data yes", "is not JSON"},
		{"flow ls --nats " + nobody, "'mesh dev'"},
		{"config set orders.hold_over", "expected a setting and a value"},
		{"config set orders 1", "<service>.<setting>"},
		{"config set orders.nothing 1", "'mesh config ls orders'"},
		{"config get shop.limit", "choose from carrier"},
		{"config set orders.hold_over 1 --wait -1s", "--wait"},
		{"config explain", "expected a service"},
		{"config ls shop", "choose from carrier"},
		{"config ls --nats " + nobody, "'mesh dev'"},
		{"dev --ephemeral --config " + file + "x", "no such file"},
		{"dev --ephemeral --set orders.hold_over=many --set shipping.transit=2", "whole number"},
		{"run orders --set shop.limit=1", "no service"},
		{"run orders --set limit", "<service>.<setting>=<value>"},
		{"dlq show x", "'mesh dlq list'"},
		{"run", "name at least one service"},
		{"run shop", "choose from"},
		{"run orders orders", "named twice"},
		{"run orders --profile test", "dev or production"},
		{"run orders --log loud", "'mesh run --help'"},
		{"bench speed", "choose from"},
		{"bench rpc --rounds 0", "must be positive"},
		{"topology apply --replicas 2", "use 1 or 3"},
		{"dev --nats-port 99999", "use 1 to 65535"},
		{"dev --nats-port x", "'mesh dev --help'"},
		{"dev --http nowhere", "127.0.0.1:8080"},
		{"dev --http 0.0.0.0:8080", "loopback"},
		{"dev --ephemeral --data x", "use one of them"},
		{"dev --ephemeral --http " + taken.Addr().String(), "--http"},
		{"dev --ephemeral --http= --nats-port " + strconv.Itoa(taken.Addr().(*net.TCPAddr).Port), "--nats-port"},
		{"dev --http= --nats-port 0 --data " + file, "--data"},
		{"verify --nats " + nobody, "'mesh dev'"},
		{"verify --nats nats://user:secret@" + strings.TrimPrefix(nobody, "nats://"), "'mesh dev'"},
		{"dlq list --nats " + nobody, "'mesh dev'"},
		{"flow show checkout o1 --nats " + nobody, "'mesh dev'"},
		{"topology check --nats " + nobody, "'mesh dev'"},
	} {
		t.Run(c.args, func(t *testing.T) {
			t.Parallel()
			code, out := runMesh(t, strings.Fields(c.args)...)
			if c.says == "" {
				if code != exitGood || !strings.Contains(out, "Usage:") {
					t.Errorf("exit code %d, %s", code, out)
				}
				return
			}
			if code != exitUsage || !strings.Contains(out, c.says) || strings.Count(out, "\n") != 1 || strings.Contains(out, "secret") {
				t.Errorf("exit code %d, want one sentence with %q:\n%s", code, c.says, out)
			}
			code, out = runMesh(t, append(strings.Fields(c.args), "--json")...)
			var doc struct {
				Error string `json:"error"`
				Exit  int    `json:"exit"`
			}
			if err := contract.Unmarshal([]byte(out), &doc); err != nil || doc.Exit != code || doc.Error == "" {
				t.Errorf("with --json: %s (%v)", out, err)
			}
		})
	}
}

// TestStoreInUse: two meshes never share a directory.
func TestStoreInUse(t *testing.T) {
	t.Parallel()
	mesh := startMesh(t, devArgs("--data", t.TempDir(), "--seed=false")...)
	code, out := runMesh(t, devArgs("--data", mesh.note.Data)...)
	if code != exitUsage || !strings.Contains(out, "in use") || !strings.Contains(out, "--data") || strings.Count(out, "\n") != 1 {
		t.Errorf("exit code %d: %s", code, out)
	}
}

// TestHelp: every command explains itself with an example, and its example's first
// words name it.
func TestHelp(t *testing.T) {
	t.Parallel()
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		if cmd.Name() == "help" || cmd.Name() == "completion" {
			return
		}
		if cmd.Short == "" || !strings.Contains(cmd.Example, cmd.CommandPath()) {
			t.Errorf("%s: short %q, example %q", cmd.CommandPath(), cmd.Short, cmd.Example)
		}
		if cmd.Parent() != nil && !cmd.Parent().HasParent() && cmd.GroupID == "" {
			t.Errorf("%s is in no group", cmd.CommandPath())
		}
		for _, child := range cmd.Commands() {
			walk(child)
		}
	}
	walk(newRoot(&cli{}))
}

// TestVersion prints JSON that names what is embedded.
func TestVersion(t *testing.T) {
	t.Parallel()
	code, out := runMesh(t, "version", "--json")
	var v versions
	if err := contract.Unmarshal([]byte(out), &v); err != nil || code != exitGood || v.Go == "" || v.Mesh == "" {
		t.Errorf("exit code %d, %v: %s", code, err, out)
	}
}

// TestCompletion writes a script for every shell.
func TestCompletion(t *testing.T) {
	t.Parallel()
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if code, out := runMesh(t, "completion", shell); code != exitGood || !strings.Contains(out, "mesh") {
			t.Errorf("%s: exit code %d", shell, code)
		}
	}
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}
