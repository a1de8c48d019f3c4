package redis

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	startLimit = 30 * time.Second
	stopLimit  = 5 * time.Second // then it is killed
	poll       = 2 * time.Millisecond
	maxSocket  = 100 // bytes of a socket's path that every system takes
)

// Server is a Redis that lives as long as this process at most. It is used by one
// goroutine; its URL may be used by all.
type Server struct {
	program, dir string
	args         []string
	who          *syscall.Credential
	proc         *process
	closing      sync.Once
	closed       error
}

// Start runs a server, with further settings as on its command line, such as
// "--maxmemory", "4mb". It returns once the server answers.
func Start(ctx context.Context, settings ...string) (*Server, error) {
	path, err := program()
	if err != nil {
		return nil, err
	}
	who := unprivileged()
	dir, err := directory(who)
	if err != nil {
		return nil, fmt.Errorf("a folder for Redis: %w", err)
	}
	s := &Server{program: path, dir: dir, who: who, args: settings}
	if err := s.Run(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Server) socket() string { return filepath.Join(s.dir, "redis.sock") }

// URL is where to connect.
func (s *Server) URL() string { return (&url.URL{Scheme: "unix", Path: s.socket()}).String() }

// Run starts the server again after Stop or Kill, empty, and waits until it answers.
func (s *Server) Run(ctx context.Context) error {
	if s.proc != nil {
		return nil
	}
	args := append([]string{
		"--port", "0", "--unixsocket", s.socket(), "--unixsocketperm", "700", "--dir", s.dir, "--save", "", "--appendonly", "no",
		"--daemonize", "no", "--loglevel", "warning", "--logfile", "",
	}, s.args...)
	proc, err := spawn(s.program, s.dir, args, s.who)
	if err != nil {
		return fmt.Errorf("start Redis: %w", err)
	}
	s.proc = proc
	return s.await(ctx)
}

// await waits until the server answers or has ended.
func (s *Server) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for {
		err := s.ping(ctx)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return fmt.Errorf("the Redis does not answer: %w: %s", err, s.Log())
		case s.proc.over(poll):
			return fmt.Errorf("the Redis has ended: %s", s.Log())
		}
	}
}

func (s *Server) ping(ctx context.Context) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", s.socket())
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return err
	}
	if _, err := io.WriteString(conn, "PING\r\n"); err != nil {
		return err
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err == nil && line != "+PONG\r\n" && !strings.HasPrefix(line, "-NOAUTH") { // which is an answer
		err = fmt.Errorf("it says %q", strings.TrimSpace(line))
	}
	return err
}

// Log is the end of what the server has said.
func (s *Server) Log() string {
	const most = 2000
	text, err := os.ReadFile(logFile(s.dir))
	if err != nil {
		return err.Error()
	}
	end := strings.TrimSpace(string(text))
	return end[max(0, len(end)-most):]
}

// Stop ends the server in good order; Run starts it again.
func (s *Server) Stop() error { return s.end(syscall.SIGTERM) }

// Kill ends the server at once, as a crash would; Run starts it again.
func (s *Server) Kill() error { return s.end(syscall.SIGKILL) }

// Freeze stops the server where it is: it keeps its connections and answers nothing.
func (s *Server) Freeze() error { return s.signal(syscall.SIGSTOP) }

// Thaw lets a frozen server go on.
func (s *Server) Thaw() error { return s.signal(syscall.SIGCONT) }

func (s *Server) signal(signal syscall.Signal) error {
	if s.proc == nil {
		return errors.New("the Redis does not run")
	}
	return s.proc.signal(signal)
}

func (s *Server) end(signal syscall.Signal) error {
	if s.proc == nil {
		return nil
	}
	err := s.proc.end(signal)
	s.proc = nil
	_ = os.Remove(s.socket()) // a killed server leaves it
	return err
}

// Close ends the server and removes its files. Closing twice is harmless.
func (s *Server) Close() error {
	s.closing.Do(func() { s.closed = errors.Join(s.Kill(), os.RemoveAll(s.dir)) })
	return s.closed
}
