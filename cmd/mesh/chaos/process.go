package chaos

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"github.com/ordermesh/ordermesh/bus/contract"
)

// ErrExited reports that a process ended before it was ready.
var ErrExited = errors.New("the process ended before it was ready")

// process is one child in a process group of its own.
type process struct {
	name  string
	cmd   *exec.Cmd
	ready chan struct{} // closed when the child says so
	done  chan struct{} // closed once the child is gone and waited for
	err   error         // how it ended; valid after done
}

// launch starts a binary. Its standard error goes to log; on its standard output it
// must say {"ready":true} once it serves.
func launch(name, path string, args, env []string, log io.Writer) (*process, error) {
	p := &process{name: name, ready: make(chan struct{}), done: make(chan struct{})}
	p.cmd = exec.Command(path, args...)
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stderr = log
	p.cmd.SysProcAttr = attributes()
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	if err := spawn(p.cmd.Start); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go p.follow(out)
	return p, nil
}

// follow reads the child's output to its end and waits for the child.
func (p *process) follow(out io.Reader) {
	lines := bufio.NewScanner(out)
	said := false
	for lines.Scan() {
		var note struct {
			Ready bool `json:"ready"`
		}
		if err := contract.UnmarshalLenient(lines.Bytes(), &note); err == nil && note.Ready && !said {
			said = true
			close(p.ready)
		}
	}
	_, _ = io.Copy(io.Discard, out) // a line too long must not block the child
	p.err = p.cmd.Wait()
	close(p.done)
}

// await returns once the child is ready.
func (p *process) await(ctx context.Context) error {
	select {
	case <-p.ready:
		return nil
	case <-p.done:
		return fmt.Errorf("%s: %w: %w", p.name, ErrExited, p.err)
	case <-ctx.Done():
		return fmt.Errorf("%s is not ready: %w", p.name, ctx.Err())
	}
}

// kill ends the child and whatever it started, without a word, and waits for it.
func (p *process) kill() {
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // ESRCH: it is gone already
	<-p.done
}

// terminate asks the child to end and returns how it did.
func (p *process) terminate(ctx context.Context) error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("terminate %s: %w", p.name, err)
	}
	select {
	case <-p.done:
		return p.err
	case <-ctx.Done():
		return fmt.Errorf("%s did not end: %w", p.name, ctx.Err())
	}
}

// tail returns the last lines of a log file, for a failing test.
func tail(path string, lines int) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimRight(string(data), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
