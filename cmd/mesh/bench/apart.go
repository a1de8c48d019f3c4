package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/rpc"
	"github.com/ordermesh/ordermesh/bus/telemetry"
)

// overloadGround is where a server is overloaded: all in this process, or the server and
// NATS each in one of its own.
type overloadGround struct {
	how    string // is added to the name
	caller *bus.Conn
	parts  []*part
	stop   func() error
}

// overloadGround starts what is needed for one server.
func (o Options) overloadGround(ctx context.Context, s busyServer) (overloadGround, error) {
	if o.Apart {
		return o.groundApart(ctx, s)
	}
	g, err := newGround(o, TCP)
	if err != nil {
		return overloadGround{}, err
	}
	conn, err := g.dial(ctx, "bench")
	if err != nil {
		return overloadGround{}, errors.Join(err, g.close())
	}
	stop, err := s.serve(ctx, conn)
	if err != nil {
		return overloadGround{}, errors.Join(err, g.close())
	}
	caller, err := g.dial(ctx, "caller")
	m := overloadGround{caller: caller, stop: func() error { return errors.Join(stop(), g.close()) }}
	if err != nil {
		return m, errors.Join(err, m.stop())
	}
	return m, nil
}

func (o Options) groundApart(ctx context.Context, s busyServer) (m overloadGround, err error) {
	m.how = ", apart"
	m.stop = func() (err error) {
		if m.caller != nil {
			m.caller.Close()
		}
		for _, p := range slices.Backward(m.parts) {
			err = errors.Join(err, p.stop())
		}
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, m.stop())
		}
	}()
	broker, err := startPart(ctx, Part{Role: "nats", Dir: o.Dir})
	if err != nil {
		return m, err
	}
	m.parts = append(m.parts, broker)
	server, err := startPart(ctx, Part{Role: "server", URL: broker.url, Server: s.name})
	if err != nil {
		return m, err
	}
	m.parts = append(m.parts, server)
	m.caller, err = dialQuietly(ctx, broker.url, "caller")
	return m, err
}

func dialQuietly(ctx context.Context, url, service string) (*bus.Conn, error) {
	tel, err := telemetry.New(telemetry.Config{Service: service, Writer: io.Discard})
	if err != nil {
		return nil, err
	}
	return bus.Dial(ctx, bus.Config{URL: url, Service: service, Telemetry: tel})
}

// offer makes calls at a pace and notes what each process had of the processors.
func (m overloadGround) offer(ctx context.Context, client *rpc.Client, rate float64, d time.Duration) (*flood, error) {
	began, own, before := time.Now(), processCPU(), make([]time.Duration, len(m.parts))
	var err error
	for i, p := range m.parts {
		if before[i], err = p.cpu(); err != nil {
			return nil, err
		}
	}
	f := offer(ctx, rate, d, callWork(client))
	took := time.Since(began)
	for i, p := range m.parts {
		after, err := p.cpu()
		if err != nil {
			return nil, err
		}
		f.shares += fmt.Sprintf(", %s %.2f", p.Role, float64(after-before[i])/float64(took))
	}
	if len(m.parts) > 0 {
		f.shares = fmt.Sprintf("; processors used: %s, clients %.2f", strings.TrimPrefix(f.shares, ", "), float64(processCPU()-own)/float64(took))
	}
	return f, nil
}

// Part says what a process does that is a part of a benchmark.
type Part struct {
	Role   string `json:"role"` // nats, server
	Dir    string `json:"dir,omitzero"`
	URL    string `json:"url,omitzero"`    // of NATS
	Server string `json:"server,omitzero"` // its name
}

// Run is a part's life. It writes a line once it is ready, one with the processor time it has
// used for each line that it reads, and ends with its input.
func (p Part) Run(ctx context.Context, in io.Reader, out io.Writer) (err error) {
	url := p.URL
	switch p.Role {
	case "nats":
		g, err := newGround(Options{Dir: p.Dir}, TCP)
		if err != nil {
			return err
		}
		url = g.url()
		defer func() { err = errors.Join(err, g.close()) }()
	case "server":
		s, err := busyServerOf(p.Server)
		if err != nil {
			return err
		}
		conn, err := dialQuietly(ctx, p.URL, "bench")
		if err != nil {
			return err
		}
		defer conn.Close()
		stop, err := s.serve(ctx, conn)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, stop()) }()
	default:
		return fmt.Errorf("a benchmark has no part %q", p.Role)
	}
	if _, err := fmt.Fprintln(out, url); err != nil {
		return err
	}
	for lines := bufio.NewScanner(in); lines.Scan(); {
		if _, err := fmt.Fprintln(out, processCPU().Nanoseconds()); err != nil {
			return err
		}
	}
	return nil
}

// part is the process of a Part.
type part struct {
	Part
	url string
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
}

// startPart starts this program once more as a part and waits until it is ready.
func startPart(ctx context.Context, spec Part) (*part, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(spec) //nolint:forbidigo // no message
	if err != nil {
		return nil, err
	}
	p := &part{Part: spec, cmd: exec.CommandContext(ctx, self, "bench", "part", string(text))}
	p.cmd.Stderr = os.Stderr
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.out = bufio.NewScanner(out)
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	if p.url, err = p.line(); err != nil {
		return nil, errors.Join(err, p.stop())
	}
	return p, nil
}

func (p *part) line() (string, error) {
	if !p.out.Scan() {
		return "", fmt.Errorf("the part %s of the benchmark has ended: %w", p.Role, errors.Join(p.out.Err(), io.ErrUnexpectedEOF))
	}
	return p.out.Text(), nil
}

// cpu is the processor time that the process has used.
func (p *part) cpu() (time.Duration, error) {
	if _, err := fmt.Fprintln(p.in); err != nil {
		return 0, err
	}
	text, err := p.line()
	if err != nil {
		return 0, err
	}
	var ns int64
	_, err = fmt.Sscan(text, &ns)
	return time.Duration(ns), err
}

func (p *part) stop() error { return errors.Join(p.in.Close(), p.cmd.Wait()) }
