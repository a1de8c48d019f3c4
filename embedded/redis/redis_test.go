package redis_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ordermesh/ordermesh/embedded/redis"
)

const childEnv = "MESH_TEST_REDIS_CHILD"

// TestMain is also a process that starts a server and waits to be killed.
func TestMain(m *testing.M) {
	if os.Getenv(childEnv) == "" {
		os.Exit(m.Run())
	}
	s, err := redis.Start(context.Background())
	if err != nil {
		fmt.Fprintln(os.Stdout, err)
		os.Exit(1)
	}
	fmt.Fprintln(os.Stdout, s.URL())
	select {}
}

func start(t *testing.T, settings ...string) *redis.Server {
	t.Helper()
	s, err := redis.Start(t.Context(), settings...)
	if errors.Is(err, redis.ErrMissing) && os.Getenv("MESH_REQUIRE_SERVICES") == "" {
		t.Skip(err)
	}
	check(t, err)
	t.Cleanup(func() { check(t, s.Close()) })
	return s
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func socket(t *testing.T, text string) string {
	t.Helper()
	u, err := url.Parse(text)
	check(t, err)
	return u.Path
}

// say sends one inline command and returns the first line of the answer, "" if nothing
// comes within the time.
func say(url, command string, patience time.Duration) string {
	conn, err := net.Dial("unix", strings.TrimPrefix(url, "unix://"))
	if err != nil {
		return ""
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(conn, command+"\r\n"); err != nil {
		return ""
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return ""
	}
	return strings.TrimSpace(line)
}

func TestAServerRestartsEmptyAndLeavesNothing(t *testing.T) {
	t.Parallel()
	s := start(t, "--maxmemory", "4mb")
	const long, short = 20 * time.Second, 50 * time.Millisecond
	for _, end := range []func() error{s.Stop, s.Kill} {
		if got := say(s.URL(), "SET a 1", long); got != "+OK" {
			t.Errorf("%q", got)
		}
		check(t, end())
		if say(s.URL(), "PING", short) != "" {
			t.Error("it still answers")
		}
		if s.Freeze() == nil {
			t.Error("nothing was frozen")
		}
		check(t, s.Run(t.Context()))
		if got := say(s.URL(), "EXISTS a", long); got != ":0" {
			t.Errorf("%q", got)
		}
	}
	check(t, s.Freeze())
	if say(s.URL(), "PING", short) != "" {
		t.Error("it answers although it is frozen")
	}
	check(t, s.Thaw())
	if got := say(s.URL(), "PING", long); got != "+PONG" {
		t.Errorf("%q", got)
	}
	check(t, s.Close())
	check(t, s.Close())
	if _, err := os.Stat(filepath.Dir(socket(t, s.URL()))); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
}

func TestAServerEndsWithAKilledProcess(t *testing.T) {
	t.Parallel()
	start(t) // or skip
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), childEnv+"=1")
	out, err := child.StdoutPipe()
	check(t, err)
	check(t, child.Start())
	url, err := bufio.NewReader(out).ReadString('\n')
	url = strings.TrimSpace(url)
	if err == nil && say(url, "PING", 20*time.Second) != "+PONG" {
		t.Error("the child's server does not answer")
	}
	check(t, child.Process.Signal(syscall.SIGKILL))
	_ = child.Wait()
	check(t, err)
	dir := filepath.Dir(socket(t, url))
	for deadline := time.Now().Add(20 * time.Second); ; {
		if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s is still there", dir)
		}
		<-time.After(5 * time.Millisecond)
	}
	if say(url, "PING", 50*time.Millisecond) != "" {
		t.Error("it still answers")
	}
}

func TestABadSettingIsReportedAtOnce(t *testing.T) {
	t.Parallel()
	start(t) // or skip
	begin := time.Now()
	s, err := redis.Start(t.Context(), "--no-such-setting", "1")
	if err == nil {
		_ = s.Close()
		t.Fatal("it was accepted")
	}
	if !strings.Contains(err.Error(), "no-such-setting") || time.Since(begin) > 10*time.Second {
		t.Errorf("after %v: %v", time.Since(begin), err)
	}
}

func TestAMissingServerSaysWhatToInstall(t *testing.T) {
	t.Setenv("MESH_REDIS_SERVER", filepath.Join(t.TempDir(), "none"))
	if _, err := redis.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "MESH_REDIS_SERVER") {
		t.Errorf("%v", err)
	}
}
