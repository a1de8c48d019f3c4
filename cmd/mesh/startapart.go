package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"syscall"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/cmd/mesh/bench"
	"github.com/ordermesh/ordermesh/embedded/natsd"
)

// startApart runs what startInstant runs, but the server and every service in a
// process of its own, for a benchmark.
func startApart(ctx context.Context, dir string) (mesh bench.Mesh, err error) {
	services := allServices()
	users, passwords := devUsers(descriptors(services))
	server, err := natsd.StartChild(ctx, natsd.Config{Port: -1, StoreDir: dir, Users: users, DefaultUser: developer})
	if err != nil {
		return mesh, err
	}
	mesh = bench.Mesh{URL: server.URL(), Processes: map[string]int{"nats-server": server.PID()}}
	var parts []*part
	mesh.Stop = func() error {
		var errs []error
		for _, p := range parts {
			errs = append(errs, p.stop())
		}
		return errors.Join(append(errs, server.Close())...)
	}
	for _, s := range services {
		p, err := startPart(s.desc.Name, server.URL(), passwords[s.desc.Name])
		if err != nil {
			return mesh, errors.Join(err, mesh.Stop())
		}
		parts = append(parts, p)
		mesh.Processes[s.desc.Name] = p.cmd.Process.Pid
	}
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	for _, p := range parts {
		if err := p.await(ctx); err != nil {
			return mesh, errors.Join(err, mesh.Stop())
		}
	}
	return mesh, nil
}

// withUser adds a name and a password to a URL.
func withUser(address, name, password string) (string, error) {
	u, err := url.Parse(address)
	if err != nil {
		return "", err
	}
	u.User = url.UserPassword(name, password)
	return u.String(), nil
}

// part is one service in a process of its own.
type part struct {
	name  string
	cmd   *exec.Cmd
	ready chan struct{} // closed once it says so, or is gone
}

func startPart(name, address, password string) (*part, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	address, err = withUser(address, name, password)
	if err != nil {
		return nil, err
	}
	p := &part{name: name, ready: make(chan struct{})}
	p.cmd = exec.Command(self, "run", name, "--json", "--log", "error", "--set", "shipping.transit=0s") //nolint:noctx // stop ends it, in good order
	p.cmd.Env = append(os.Environ(), "NATS_URL="+address, "DATABASE_URL=", "REDIS_URL=")
	p.cmd.Stderr = os.Stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a signal of the terminal ends us, and we end them
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() {
		defer close(p.ready)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			var note readyNote
			if contract.UnmarshalLenient(lines.Bytes(), &note) == nil && note.Ready {
				return // it says nothing more
			}
		}
	}()
	return p, nil
}

func (p *part) await(ctx context.Context) error {
	select {
	case <-p.ready:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("service %s is not ready: %w", p.name, ctx.Err())
	}
}

// stop ends the process in good order.
func (p *part) stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop %s: %w", p.name, err)
	}
	<-p.ready
	if err := p.cmd.Wait(); err != nil {
		return fmt.Errorf("stop %s: %w", p.name, err)
	}
	return nil
}
