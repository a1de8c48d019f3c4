package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	superuser  = "postgres"
	startLimit = 60 * time.Second
	stopLimit  = 10 * time.Second // then it is killed
	poll       = 5 * time.Millisecond
	maxSocket  = 100 // bytes of a socket's path that every system takes
)

// Server is a PostgreSQL that lives as long as this process at most. It is used by one
// goroutine; its URL may be used by all.
type Server struct {
	bin, dir string
	who      *syscall.Credential

	cmd      *exec.Cmd
	watchdog *exec.Cmd
	lifeline io.Closer
	closing  sync.Once
	closed   error
}

// Start makes a data directory of its own and runs a server in it. It returns once the
// server answers.
func Start(ctx context.Context) (*Server, error) {
	bin, err := programs()
	if err != nil {
		return nil, err
	}
	who := unprivileged()
	dir, err := directory(who)
	if err != nil {
		return nil, fmt.Errorf("a folder for PostgreSQL: %w", err)
	}
	s := &Server{bin: bin, dir: dir, who: who}
	if err := errors.Join(own(dir, s.who), s.guard()); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	if err := s.initialize(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	if err := s.Run(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// directory is one whose name leaves room for that of a socket, and that who can reach.
func directory(who *syscall.Credential) (string, error) {
	base := os.TempDir()
	if len(base)+len("/mesh-postgres-0123456789/.s.PGSQL.5432") > maxSocket || (who != nil && !passable(base)) {
		base = "/tmp"
	}
	return os.MkdirTemp(base, "mesh-postgres-")
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }
func (s *Server) log() string  { return filepath.Join(s.dir, "log") }

// URL is where to connect, as the superuser, to a database that is there from the
// beginning or has been made since.
func (s *Server) URL(database string) string {
	return "postgres:///" + url.PathEscape(database) + "?" + url.Values{"host": {s.dir}, "user": {superuser}}.Encode()
}

// Database makes an empty database and returns where to connect.
func (s *Server) Database(ctx context.Context, name string) (string, error) {
	conn, err := pgx.Connect(ctx, s.URL("postgres"))
	if err != nil {
		return "", err
	}
	_, err = conn.Exec(ctx, "CREATE DATABASE "+pgx.Identifier{name}.Sanitize())
	return s.URL(name), errors.Join(err, conn.Close(ctx))
}

func (s *Server) initialize(ctx context.Context) error {
	cmd := s.command(ctx, "initdb", "--pgdata", s.data(), "--username", superuser, "--auth", "trust",
		"--encoding", "UTF8", "--no-locale", "--no-sync", "--no-instructions")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("initdb: %w: %s", err, tail(string(out)))
	}
	return nil
}

// Run starts the server again after Stop or Kill, on the same data, and waits until it
// answers.
func (s *Server) Run(ctx context.Context) error {
	if s.cmd != nil {
		return nil
	}
	log, err := os.OpenFile(s.log(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }() // the child has its own
	args := []string{"-D", s.data(), "-k", s.dir}
	for _, setting := range []string{
		"listen_addresses=", "unix_socket_permissions=0700", "max_connections=200",
		"fsync=off", "full_page_writes=off", "shared_buffers=64MB", "max_wal_size=512MB",
		"dynamic_shared_memory_type=mmap", "jit=off", "log_min_messages=warning",
	} {
		args = append(args, "-c", setting)
	}
	cmd := s.command(context.WithoutCancel(ctx), "postgres", args...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start PostgreSQL: %w", err)
	}
	s.cmd = cmd
	return s.await(ctx)
}

// await waits until the server answers or has ended.
func (s *Server) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for {
		conn, err := pgx.Connect(ctx, s.URL("postgres"))
		if err == nil {
			return conn.Close(ctx)
		}
		if s.ended() {
			return fmt.Errorf("PostgreSQL has ended: %s", s.Log())
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("PostgreSQL does not answer: %w: %s", err, s.Log())
		}
	}
}

// ended reports whether the process is over, and then takes its end.
func (s *Server) ended() bool {
	var status syscall.WaitStatus
	pid, err := syscall.Wait4(s.cmd.Process.Pid, &status, syscall.WNOHANG, nil)
	if over := pid == s.cmd.Process.Pid || errors.Is(err, syscall.ECHILD); !over {
		return false
	}
	s.cmd = nil
	return true
}

// Log is the end of what the server has logged.
func (s *Server) Log() string {
	text, err := os.ReadFile(s.log())
	if err != nil {
		return err.Error()
	}
	return tail(string(text))
}

func tail(text string) string {
	const most = 2000
	text = strings.TrimSpace(text)
	return text[max(0, len(text)-most):]
}

// Stop ends the server in good order, cutting off its clients; Run starts it again.
func (s *Server) Stop() error { return s.end(syscall.SIGINT) }

// Kill ends the server at once, as a crash would; Run starts it again.
func (s *Server) Kill() error { return s.end(syscall.SIGQUIT) }

func (s *Server) end(signal syscall.Signal) error {
	if s.cmd == nil {
		return nil
	}
	if err := s.cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	kill := time.AfterFunc(stopLimit, func() { _ = s.cmd.Process.Kill() })
	err := s.cmd.Wait()
	kill.Stop()
	s.cmd = nil
	if _, exited := errors.AsType[*exec.ExitError](err); exited {
		return nil // it says 2 after SIGQUIT
	}
	return err
}

// Close ends the server and removes its files. Closing twice is harmless.
func (s *Server) Close() error {
	s.closing.Do(func() {
		s.closed = errors.Join(s.Stop(), s.release(), os.RemoveAll(s.dir))
	})
	return s.closed
}

// command runs one of PostgreSQL's programs in a process group of its own.
func (s *Server) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(s.bin, name), args...)
	cmd.Dir = s.dir
	cmd.Env = []string{"PATH=" + s.bin + ":/usr/bin:/bin", "LC_ALL=C", "TZ=UTC", "HOME=" + s.dir, "TMPDIR=" + s.dir}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: s.who}
	return cmd
}
