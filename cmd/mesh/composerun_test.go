package main

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/contracts/orders"
)

// stage starts the services of compose.yaml as processes on this machine: the same
// commands with the same files, each on a loopback address of its own instead of a host
// name, and with a folder of its own instead of a root. PostgreSQL and Redis are left
// out: without their URLs services do without.
type stage struct {
	t         *testing.T
	all       composition
	secrets   string
	dir       string
	addresses map[string]string
	programs  map[string]string
	running   []*exec.Cmd
	logs      sync.Map
}

func newStage(t *testing.T) *stage {
	t.Helper()
	mesh, err := buildMesh()
	if err != nil {
		t.Fatal(err)
	}
	s := &stage{t: t, all: readCompose(t), dir: t.TempDir(), addresses: map[string]string{}}
	s.programs = map[string]string{"mesh": mesh, "nats-server": filepath.Join(s.dir, "nats-server")}
	if err := goTool("build", "-o", s.programs["nats-server"], "github.com/nats-io/nats-server/v2"); err != nil {
		t.Fatal(err)
	}
	network := fmt.Sprintf("127.%d.%d.", 1+rand.IntN(254), rand.IntN(255))
	for name := range s.all.Services {
		s.addresses[name] = fmt.Sprint(network, len(s.addresses)+1)
	}
	s.secrets = filepath.Join(s.dir, "secrets")
	prepare := exec.Command(filepath.Join(deployment, "compose", "prepare"))
	hosts := strings.Join([]string{s.addresses["nats-0"], s.addresses["nats-1"], s.addresses["nats-2"]}, ",")
	prepare.Env = append(os.Environ(), "MESH="+mesh, "MESH_SECRETS="+s.secrets, "MESH_HOSTS="+hosts)
	if text, err := prepare.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	t.Cleanup(s.end)
	return s
}

// mapped is a text as it must be outside of a container.
func (s *stage) mapped(name, text string) string {
	root, own := filepath.Join(s.dir, name), s.addresses[name]
	pairs := []string{"/run/secrets", root + "/run/secrets", "/etc/nats", root + "/etc/nats", "/data", root + "/data", "0.0.0.0:", own + ":"}
	for other, address := range s.addresses {
		pairs = append(pairs, "//"+other+":", "//"+address+":")
	}
	if strings.HasPrefix(text, ":") {
		text = own + text
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

// files shows a service what compose.yaml shows it.
func (s *stage) files(name string) {
	s.t.Helper()
	must := func(err error) {
		if err != nil {
			s.t.Fatal(err)
		}
	}
	root := filepath.Join(s.dir, name)
	show := func(from, target string) {
		text, err := os.ReadFile(filepath.Join(s.secrets, strings.TrimPrefix(from, "secrets/")))
		must(err)
		if !filepath.IsAbs(target) {
			target = filepath.Join("/run/secrets", target)
		}
		if strings.HasSuffix(target, "nats-server.conf") {
			text = []byte(s.mapped(name, string(text)))
		}
		must(os.MkdirAll(filepath.Dir(root+target), 0o755))
		must(os.WriteFile(root+target, text, 0o600))
	}
	must(os.MkdirAll(root+"/data", 0o755))
	for _, f := range s.all.Services[name].Secrets {
		show(s.all.Secrets[f.Source].File, f.Target)
	}
	for _, f := range s.all.Services[name].Configs {
		show(s.all.Configs[f.Source].File, f.Target)
	}
}

// command is what a service runs.
func (s *stage) command(name string) *exec.Cmd {
	service := s.all.Services[name]
	program, args := "mesh", service.Command
	if strings.HasPrefix(service.Image, "nats:") {
		program, args = args[0], args[1:]
	}
	cmd := exec.Command(s.programs[program])
	for _, arg := range args {
		cmd.Args = append(cmd.Args, s.mapped(name, arg))
	}
	cmd.Dir = filepath.Join(s.dir, name, "data")
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	for key, value := range service.Environment {
		if key != "DATABASE_URL" && key != "REDIS_URL" {
			cmd.Env = append(cmd.Env, key+"="+s.mapped(name, value))
		}
	}
	return cmd
}

// start runs a service in the background until the stage ends.
func (s *stage) start(name string) {
	s.t.Helper()
	s.files(name)
	cmd := s.command(name)
	log := &logBuffer{}
	s.logs.Store(name, log)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.running = append(s.running, cmd)
}

// job runs a service until it succeeds, as often as compose would.
func (s *stage) job(name string) {
	s.t.Helper()
	s.files(name)
	var out []byte
	bustest.Eventually(s.t, 2*patience, func() bool {
		var err error
		out, err = s.command(name).CombinedOutput()
		return err == nil
	})
	s.t.Logf("%s: %s", name, out)
}

// healthy waits for a service's own health check.
func (s *stage) healthy(name string) {
	s.t.Helper()
	bustest.Eventually(s.t, 2*patience, func() bool {
		check := s.all.Services[name].Healthcheck.Test[1:]
		if check[0] == "/mesh" {
			args := append(check[1:], "--address", s.addresses[name]+":8081")
			return exec.Command(s.programs["mesh"], args...).Run() == nil
		}
		response, err := http.Get(strings.Replace(check[len(check)-1], "127.0.0.1", s.addresses[name], 1))
		if err != nil {
			return false
		}
		defer response.Body.Close()
		return response.StatusCode == http.StatusOK
	})
}

// end stops everything, the servers last.
func (s *stage) end() {
	for _, cmd := range slices.Backward(s.running) {
		_ = cmd.Process.Signal(syscall.SIGTERM)
	}
	for _, cmd := range slices.Backward(s.running) {
		late := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait()
		late.Stop()
	}
	if s.t.Failed() {
		s.logs.Range(func(name, log any) bool {
			text := fmt.Sprint(log)
			s.t.Logf("log of %s:\n%s", name, text[max(0, len(text)-3000):])
			return true
		})
	}
}

// TestComposeRuns: what compose.yaml starts is a mesh in profile production, on three
// servers with TLS, that delivers an order which comes in by HTTP.
func TestComposeRuns(t *testing.T) {
	t.Parallel()
	if os.Getenv("MESH_LONG") == "" {
		t.Skip("a dozen processes take half a minute: set MESH_LONG=1")
	}
	s := newStage(t)
	for _, name := range []string{"nats-0", "nats-1", "nats-2"} {
		s.start(name)
	}
	for _, name := range []string{"nats-0", "nats-1", "nats-2"} {
		s.healthy(name)
	}
	s.job("topology")
	for _, name := range serviceNames() {
		s.start(name)
	}
	for _, name := range serviceNames() {
		s.healthy(name)
	}
	s.job("seed")
	base := "http://" + s.addresses[gatewayName] + ":8080/api/v1/orders"
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base, strings.NewReader(orderJSON("TEA-001", 2, "tok_ok")))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Idempotency-Key", "compose-1")
	status, body := s.fetch(request)
	if status != http.StatusCreated {
		t.Fatalf("status %d: %s", status, body)
	}
	placed := decode[orders.Order](t, body)
	bustest.Eventually(t, 2*patience, func() bool {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/"+placed.OrderID, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, body = s.fetch(request)
		return bytes.Contains(body, []byte(`"status":"delivered"`))
	})
}

func (s *stage) fetch(request *http.Request) (int, []byte) {
	s.t.Helper()
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return response.StatusCode, body
}
