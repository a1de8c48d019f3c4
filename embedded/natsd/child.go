package natsd

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Child is a NATS server in a process of its own, which can be killed or frozen. A
// Child is used by one goroutine; its process ends when the parent's does.
type Child struct {
	node node
	proc *process
}

// StartChild runs a server by starting this executable again; see [ChildMain]. It
// returns once the server answers. The port -1 is settled at the first start and
// then stays. Config.Logger is not used: the child's warnings are part of errors.
func StartChild(ctx context.Context, cfg Config) (*Child, error) {
	if cfg.Port != anyPort {
		return startChild(ctx, node{Config: cfg})
	}
	return retryPorts(func() (*Child, error) {
		ports, err := freePorts(1)
		if err != nil {
			return nil, err
		}
		cfg.Port = ports[0]
		return startChild(ctx, node{Config: cfg})
	})
}

func startChild(ctx context.Context, n node) (*Child, error) {
	c := &Child{node: n}
	if err := c.Restart(ctx); err != nil {
		return nil, err
	}
	return c, nil
}

// URL is where clients connect, before and after a restart.
func (c *Child) URL() string { return urls([]node{c.node}) }

// PID is the id of the process, 0 when it does not run.
func (c *Child) PID() int {
	if c.proc == nil {
		return 0
	}
	return c.proc.cmd.Process.Pid
}

// Kill ends the process with SIGKILL, as a crash would, and waits for its end.
func (c *Child) Kill() error {
	if c.proc == nil {
		return nil
	}
	err := c.proc.kill()
	c.proc = nil
	return err
}

// Freeze stops the process where it is (SIGSTOP); it keeps its sockets. It returns
// once nothing of the process runs any more.
func (c *Child) Freeze() error {
	if err := c.signal(syscall.SIGSTOP); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	return wait(ctx, "the NATS node to freeze", func() (bool, error) {
		var status syscall.WaitStatus
		_, err := syscall.Wait4(c.PID(), &status, syscall.WUNTRACED|syscall.WNOHANG, nil)
		if err != nil && !errors.Is(err, syscall.EINTR) {
			return false, fmt.Errorf("freeze a NATS node: %w", err)
		}
		return status.Stopped(), nil
	})
}

// Thaw lets a frozen process go on (SIGCONT).
func (c *Child) Thaw() error { return c.signal(syscall.SIGCONT) }

func (c *Child) signal(s syscall.Signal) error {
	if c.proc == nil {
		return errors.New("the NATS node does not run")
	}
	return c.proc.cmd.Process.Signal(s)
}

// Restart runs the server again on the same port and store; a running one is ended
// in good order first. It returns once the server answers.
func (c *Child) Restart(ctx context.Context) error {
	if err := c.Close(); err != nil {
		return err
	}
	p, err := startProcess(ctx, c.node)
	if err != nil {
		return err
	}
	c.proc = p
	return nil
}

// Close ends the server in good order. Closing twice is harmless.
func (c *Child) Close() error {
	if c.proc == nil {
		return nil
	}
	err := c.proc.close()
	c.proc = nil
	return err
}

// ask puts a question of runChild's protocol; a process that does not run or does
// not answer within ctx says no.
func (c *Child) ask(ctx context.Context, question string) bool {
	return c.proc != nil && c.proc.ask(ctx, question)
}

// process is one run of a child.
type process struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stderr *tail
	ready  chan string // the first line
	read   sync.WaitGroup

	mu      sync.Mutex
	next    int
	waiting map[string]chan bool
}

func startProcess(ctx context.Context, n node) (*process, error) {
	text, err := json.Marshal(n)
	if err != nil {
		return nil, fmt.Errorf("describe the NATS node: %w", err)
	}
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this executable: %w", err)
	}
	p := &process{cmd: exec.Command(self), stderr: &tail{}, ready: make(chan string, 1), waiting: map[string]chan bool{}}
	p.cmd.Env = append(os.Environ(), childEnv+"="+string(text))
	p.cmd.Stderr = p.stderr
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("start a NATS node: %w", err)
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start a NATS node: %w", err)
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start a NATS node: %w", err)
	}
	p.read.Go(func() { p.listen(stdout) })
	if err := p.waitReady(ctx); err != nil {
		_ = p.kill()
		return nil, err
	}
	return p, nil
}

// waitReady waits for the first line, which is "ready <port>" or "failed <kind> <why>".
func (p *process) waitReady(ctx context.Context) error {
	select {
	case line := <-p.ready:
		switch word, rest, _ := strings.Cut(line, " "); word {
		case "ready":
			return nil
		case "failed":
			return parseFailed(rest)
		}
		return fmt.Errorf("the NATS node ended at start, was ChildMain called first in main? It said: %q %s", line, p.stderr)
	case <-ctx.Done():
		return fmt.Errorf("start a NATS node: %w %s", ctx.Err(), p.stderr)
	}
}

// listen hands the child's lines on until it ends.
func (p *process) listen(r io.Reader) {
	lines := bufio.NewScanner(r)
	first := true
	for lines.Scan() {
		if first {
			first = false
			p.ready <- lines.Text()
			continue
		}
		id, answer, _ := strings.Cut(lines.Text(), " ")
		p.mu.Lock()
		if ch := p.waiting[id]; ch != nil {
			ch <- answer == "true"
			delete(p.waiting, id)
		}
		p.mu.Unlock()
	}
	if first {
		p.ready <- ""
	}
}

func (p *process) ask(ctx context.Context, question string) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	p.mu.Lock()
	p.next++
	id := strconv.Itoa(p.next)
	ch := make(chan bool, 1)
	p.waiting[id] = ch
	p.mu.Unlock()
	if _, err := fmt.Fprintln(p.stdin, id, question); err != nil {
		return false
	}
	select {
	case yes := <-ch:
		return yes
	case <-ctx.Done():
		p.mu.Lock()
		delete(p.waiting, id)
		p.mu.Unlock()
		return false
	}
}

func (p *process) kill() error {
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill a NATS node: %w", err)
	}
	p.read.Wait()
	_ = p.cmd.Wait() // says "killed", as asked
	return nil
}

// close lets the server end itself, and kills it when that takes too long.
func (p *process) close() error {
	_ = p.cmd.Process.Signal(syscall.SIGCONT) // a frozen one cannot end itself
	_ = p.stdin.Close()
	late := time.AfterFunc(stopTimeout, func() { _ = p.cmd.Process.Kill() })
	defer late.Stop()
	p.read.Wait()
	if err := p.cmd.Wait(); err != nil {
		return fmt.Errorf("stop a NATS node: %w %s", err, p.stderr)
	}
	return nil
}

// tail keeps the last part of what is written to it.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

const tailBytes = 4 << 10

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, b...)
	if extra := len(t.buf) - tailBytes; extra > 0 {
		t.buf = append(t.buf[:0], t.buf[extra:]...)
	}
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(bytes.TrimSpace(t.buf))
}
