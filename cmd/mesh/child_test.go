package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
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

	"github.com/nats-io/nats.go"

	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/embedded/natsd"
	"github.com/ordermesh/ordermesh/embedded/postgres/postgrestest"
)

// patience bounds every wait of the end-to-end tests; none of them measures speed.
const patience = 60 * time.Second

// scratch holds what is built once for all tests.
var scratch string

func TestMain(m *testing.M) {
	natsd.ChildMain()
	bustest.Parallel()
	dir, err := os.MkdirTemp("", "mesh-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	scratch = dir
	code := m.Run()
	if err := os.RemoveAll(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(code)
}

// buildMesh builds the binary under test.
var buildMesh = sync.OnceValues(func() (string, error) {
	path := filepath.Join(scratch, "mesh")
	return path, goTool("build", "-o", path, ".")
})

// buildNATS finds or builds the stock nats CLI, pinned beside the developer tools.
var buildNATS = sync.OnceValues(func() (string, error) {
	if path := os.Getenv("MESH_NATS_CLI"); path != "" {
		return path, nil
	}
	path := filepath.Join(scratch, "nats")
	return path, goTool("build", "-modfile=../../.tools/go.mod", "-o", path, "github.com/nats-io/natscli/nats")
})

func goTool(args ...string) error {
	out, err := exec.Command("go", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}

// databases has the database of each test that has one.
var databases sync.Map

// databaseOf gives all processes of a test one database, where DATABASE_URL names a
// server: tests are meshes of their own and share nothing.
func databaseOf(t *testing.T) []string {
	t.Helper()
	if os.Getenv("DATABASE_URL") == "" {
		return nil
	}
	url, known := databases.Load(t.Name())
	if !known {
		url = postgrestest.Database(t)
		databases.Store(t.Name(), url)
	}
	return []string{fmt.Sprint("DATABASE_URL=", url)}
}

// child is a mesh process.
type child struct {
	t     *testing.T
	cmd   *exec.Cmd
	log   *logBuffer
	ready chan struct{} // closed once it says so
	note  readyNote     // valid after ready
	done  chan struct{} // closed once it is gone
}

// startMesh starts `mesh <args> --json` and waits until it is ready. It is killed
// when the test ends, if it still runs.
func startMesh(t *testing.T, args ...string) *child {
	t.Helper()
	c := launchMesh(t, args...)
	c.awaitReady()
	return c
}

// launchMesh is startMesh without the waiting.
func launchMesh(t *testing.T, args ...string) *child {
	t.Helper()
	return launchMeshWith(t, nil, args...)
}

// launchMeshWith is launchMesh with more in the environment, as NAME=value.
func launchMeshWith(t *testing.T, env []string, args ...string) *child {
	t.Helper()
	binary, err := buildMesh()
	if err != nil {
		t.Fatal(err)
	}
	c := &child{t: t, log: &logBuffer{}, ready: make(chan struct{}), done: make(chan struct{})}
	c.cmd = exec.Command(binary, append(slices.Clone(args), "--json")...)
	c.cmd.Env = append(os.Environ(), "TMPDIR="+t.TempDir()) // what an ephemeral mesh leaves when it is killed
	c.cmd.Env = append(c.cmd.Env, databaseOf(t)...)
	c.cmd.Env = append(c.cmd.Env, env...)
	c.cmd.Stderr = c.log
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go c.follow(out)
	t.Cleanup(func() {
		c.kill()
		if t.Failed() {
			t.Logf("log of mesh %s:\n%s", strings.Join(args, " "), c.log)
		}
	})
	return c
}

// follow reads standard output until the process is gone.
func (c *child) follow(out io.Reader) {
	defer close(c.done)
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if err := contract.UnmarshalLenient(lines.Bytes(), &c.note); err == nil && c.note.Ready {
			close(c.ready)
			break
		}
	}
	_, _ = io.Copy(io.Discard, out)
	_ = c.cmd.Wait() // the exit code is looked at by who waits for it
}

func (c *child) awaitReady() {
	c.t.Helper()
	select {
	case <-c.ready:
	case <-c.done:
		c.t.Fatalf("%v ended before it was ready: %v\n%s", c.cmd.Args, c.cmd.ProcessState, c.log)
	case <-time.After(patience):
		c.t.Fatalf("%v is not ready\n%s", c.cmd.Args, c.log)
	}
}

// kill ends it at once, as kill -9 does.
func (c *child) kill() {
	_ = c.cmd.Process.Kill() // it may be gone
	<-c.done
}

// stop asks it to end and returns its exit code.
func (c *child) stop() int {
	c.t.Helper()
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		c.t.Fatal(err)
	}
	return c.wait()
}

// wait returns the exit code.
func (c *child) wait() int {
	c.t.Helper()
	select {
	case <-c.done:
	case <-time.After(patience):
		c.t.Fatalf("%v does not end\n%s", c.cmd.Args, c.log)
	}
	return c.cmd.ProcessState.ExitCode()
}

// connect dials the mesh as any client on this machine would.
func (c *child) connect() *nats.Conn { return dial(c.t, c.note.NATS) }

func dial(t *testing.T, url string) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// get fetches a path from the process's HTTP address.
func (c *child) get(path string) (int, string) {
	c.t.Helper()
	request, err := http.NewRequestWithContext(c.t.Context(), http.MethodGet, c.note.HTTP+path, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		c.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

// logBuffer collects what a process logs while others read it.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
