package chaos

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// readyTimeout bounds a start: recovery after a crash included.
const readyTimeout = 30 * time.Second

// Mesh is one data directory and port on which `mesh dev` runs, dies and runs again,
// or services on a server elsewhere.
type Mesh struct {
	t      testing.TB
	binary string
	data   string
	port   int
	url    string
	logs   string
	http   string // where `mesh dev` answers /readyz; "" for nowhere

	starts  int
	current *process
	extras  []*process
}

// NewMesh chooses a directory and a port and starts nothing. Whatever is started is
// killed when the test ends; a failed test shows the end of the last log.
func NewMesh(t testing.TB, binary string) *Mesh {
	t.Helper()
	port := freePort(t)
	m := NewMeshOn(t, binary, "nats://127.0.0.1:"+strconv.Itoa(port))
	m.data, m.port = t.TempDir(), port
	return m
}

// NewMeshOn is a mesh on a server that somebody else looks after: it has only what
// joins it.
func NewMeshOn(t testing.TB, binary, url string) *Mesh {
	t.Helper()
	m := &Mesh{t: t, binary: binary, url: url, logs: t.ArtifactDir()}
	t.Cleanup(m.cleanup)
	return m
}

// freePort lets the system choose; the port stays unused by other meshes of this
// process because the system hands ports out in turn.
func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	address, err := netip.ParseAddrPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return int(address.Port())
}

// URL is where the NATS server listens whenever it runs.
func (m *Mesh) URL() string { return m.url }

// Up starts `mesh dev` and returns once it is ready. env is added to the
// environment, for example MESH_FAILPOINT.
func (m *Mesh) Up(ctx context.Context, env ...string) error {
	p, err := m.launch("dev", m.binary, []string{
		"dev", "--json", "--data", m.data, "--nats-port", strconv.Itoa(m.port), "--http", m.http, "--seed=false",
	}, env)
	if err != nil {
		return err
	}
	m.current = p
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	return p.await(ctx)
}

// Join starts another process with the given services on the same server.
func (m *Mesh) Join(ctx context.Context, services ...string) (*Joined, error) {
	return m.join(ctx, m.binary, "", nil, services...)
}

// join is Join with another binary, an address for /readyz, or more environment.
func (m *Mesh) join(ctx context.Context, binary, http string, env []string, services ...string) (*Joined, error) {
	j, err := m.begin(binary, http, env, services...)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	return j, j.process.await(ctx)
}

// begin is join that does not wait until the process is ready.
func (m *Mesh) begin(binary, http string, env []string, services ...string) (*Joined, error) {
	args := append([]string{"run", "--json", "--nats", m.URL(), "--http", http}, services...)
	p, err := m.launch("run", binary, args, env)
	if err != nil {
		return nil, err
	}
	m.extras = append(m.extras, p)
	return &Joined{p}, nil
}

// Command runs the binary to its end and returns what it printed.
func (m *Mesh) Command(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, m.binary, args...)
	cmd.Env = append(os.Environ(), "NATS_URL="+m.url)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("mesh %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

// Joined is a process that runs some services beside the mesh.
type Joined struct{ process *process }

// Kill ends the process with SIGKILL and waits for its end.
func (j *Joined) Kill() { j.process.kill() }

// Stop ends the process with SIGTERM and returns how it ended.
func (j *Joined) Stop(ctx context.Context) error { return j.process.terminate(ctx) }

// Freeze makes the process stand still where it is; it keeps its connections.
func (j *Joined) Freeze() error { return j.process.cmd.Process.Signal(syscall.SIGSTOP) }

// Thaw lets a frozen process go on.
func (j *Joined) Thaw() error { return j.process.cmd.Process.Signal(syscall.SIGCONT) }

func (m *Mesh) launch(kind, binary string, args, env []string) (*process, error) {
	m.starts++
	name := fmt.Sprintf("%s-%d", kind, m.starts)
	log, err := os.Create(filepath.Join(m.logs, name+".log"))
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }() // the child has its own copy
	return launch(name, binary, args, env, log)
}

// Log returns everything that `mesh dev` has logged since its last start.
func (m *Mesh) Log() string {
	data, err := os.ReadFile(m.logPath(m.current))
	if err != nil {
		m.t.Error(err)
	}
	return string(data)
}

func (m *Mesh) logPath(p *process) string { return filepath.Join(m.logs, p.name+".log") }

// Down is closed when the running `mesh dev` has ended, by itself or not.
func (m *Mesh) Down() <-chan struct{} { return m.current.done }

// Kill ends `mesh dev` with SIGKILL: the services and the server at once.
func (m *Mesh) Kill() {
	if m.current != nil {
		m.current.kill()
	}
}

// Stop ends `mesh dev` with SIGTERM and returns how it ended.
func (m *Mesh) Stop(ctx context.Context) error { return m.current.terminate(ctx) }

// cleanup kills everything and shows the logs of a test that failed.
func (m *Mesh) cleanup() {
	all := m.extras
	if m.current != nil {
		all = append(all, m.current)
	}
	for _, p := range all {
		p.kill()
	}
	m.lookForRaces()
	for _, p := range all {
		if m.t.Failed() {
			m.t.Logf("end of the log of %s:\n%s", p.name, tail(m.logPath(p), 40))
		}
	}
}

// lookForRaces fails the test when the race detector has spoken in any log.
func (m *Mesh) lookForRaces() {
	logs, err := filepath.Glob(filepath.Join(m.logs, "*.log"))
	if err != nil {
		m.t.Error(err)
	}
	for _, path := range logs {
		text, err := os.ReadFile(path)
		if err != nil {
			m.t.Error(err)
			continue
		}
		if i := strings.Index(string(text), "WARNING: DATA RACE"); i >= 0 {
			m.t.Errorf("%s:\n%s", filepath.Base(path), text[i:min(len(text), i+4000)])
		}
	}
}
