package postgres_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ordermesh/ordermesh/embedded/postgres"
)

const childEnv = "MESH_TEST_POSTGRES_CHILD"

// TestMain is also a process that starts a server and waits to be killed.
func TestMain(m *testing.M) {
	if os.Getenv(childEnv) == "" {
		os.Exit(m.Run())
	}
	s, err := postgres.Start(context.Background())
	if err != nil {
		fmt.Fprintln(os.Stdout, err)
		os.Exit(1)
	}
	fmt.Fprintln(os.Stdout, s.URL("postgres"))
	select {}
}

func start(t *testing.T) *postgres.Server {
	t.Helper()
	s, err := postgres.Start(t.Context())
	if errors.Is(err, postgres.ErrMissing) && os.Getenv("MESH_REQUIRE_SERVICES") == "" {
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

func query(t *testing.T, url, sql string) (answer string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	check(t, err)
	defer func() { check(t, conn.Close(t.Context())) }()
	check(t, conn.QueryRow(t.Context(), sql).Scan(&answer))
	return answer
}

func folder(t *testing.T, text string) string {
	t.Helper()
	u, err := url.Parse(text)
	check(t, err)
	return u.Query().Get("host")
}

func TestAServerRestartsOnItsDataAndLeavesNothing(t *testing.T) {
	t.Parallel()
	s := start(t)
	url, err := s.Database(t.Context(), `odd "name"`)
	check(t, err)
	if got := query(t, url, "SELECT current_user || ' of ' || current_database()"); got != `postgres of odd "name"` {
		t.Errorf("%q", got)
	}
	for _, end := range []func() error{s.Stop, s.Kill} {
		check(t, end())
		if _, err := pgx.Connect(t.Context(), url); err == nil {
			t.Error("it still answers")
		}
		check(t, s.Run(t.Context()))
		if got := query(t, url, "SELECT current_database()"); got != `odd "name"` {
			t.Errorf("%q", got)
		}
	}
	check(t, s.Close())
	if _, err := os.Stat(folder(t, url)); !errors.Is(err, os.ErrNotExist) {
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
	if err == nil && query(t, url, "SELECT 'here'") != "here" {
		t.Error("the child's server does not answer")
	}
	check(t, child.Process.Signal(syscall.SIGKILL))
	_ = child.Wait()
	check(t, err)
	dir := folder(t, url)
	for deadline := time.Now().Add(20 * time.Second); ; {
		if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s is still there", dir)
		}
		<-time.After(5 * time.Millisecond)
	}
	if _, err := pgx.Connect(t.Context(), url); err == nil {
		t.Error("it still answers")
	}
}

func TestAMissingServerSaysWhatToInstall(t *testing.T) {
	t.Setenv("MESH_POSTGRES_BIN", t.TempDir())
	if _, err := postgres.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "MESH_POSTGRES_BIN") {
		t.Errorf("%v", err)
	}
}
