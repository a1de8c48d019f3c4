package flow_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/flow"
)

// A child is this test binary, started again as a process that only runs a worker.
const childEnv = "FLOW_TEST_WORKER"

// effectSubject is where the children's steps tell what they do: "<id> <step> <key>
// <pid>". Plain messages: what was published before a kill has been counted.
const effectSubject = "test.effect"

// long is a flow of ten steps of ten milliseconds that tells its effects.
func long(conn *bus.Conn) flow.Definition[args, result] {
	return flow.Define("long", 1, func(run *flow.Run, in args) (result, error) {
		for i := range 10 {
			step := fmt.Sprint("s", i)
			_, err := flow.Step(run, step, func(ctx context.Context) (int, error) {
				text := fmt.Sprintf("%s %s %s %d", run.ID(), step, run.Key(step), os.Getpid())
				if _, err := conn.NATS().RequestWithContext(ctx, effectSubject, []byte(text)); err != nil {
					return 0, err
				}
				return i, pause(ctx, 10*time.Millisecond)
			})
			if err != nil {
				return result{}, err
			}
		}
		return result(in), nil
	})
}

// wide is a flow of ten parallel steps of ten milliseconds and more, and then of a race.
func wide(conn *bus.Conn) flow.Definition[args, result] {
	return flow.Define("wide", 1, func(run *flow.Run, in args) (result, error) {
		tell := func(ctx context.Context, step string) error {
			text := fmt.Sprintf("%s %s %s %d", run.ID(), step, run.Key(step), os.Getpid())
			_, err := conn.NATS().RequestWithContext(ctx, effectSubject, []byte(text))
			return err
		}
		var branches []flow.Branch
		var results []*flow.Promise[int]
		for i := range 10 {
			step := fmt.Sprint("s", i)
			p := flow.Parallel(step, func(ctx context.Context) (int, error) {
				if err := tell(ctx, step); err != nil {
					return 0, err
				}
				return i, pause(ctx, time.Duration(10+10*i)*time.Millisecond)
			})
			branches, results = append(branches, p), append(results, p)
		}
		if err := flow.All(run, branches...); err != nil {
			return result{}, err
		}
		sum := 0
		for _, p := range results {
			sum += p.Value()
		}
		slow := flow.Parallel("slow", func(ctx context.Context) (int, error) { return 0, pause(ctx, time.Hour) }, flow.WithTimeout(2*time.Hour))
		quick := flow.Parallel("quick", func(ctx context.Context) (int, error) { return 1, pause(ctx, 5*time.Millisecond) })
		winner, err := flow.Race(run, slow, quick)
		if err == nil && (winner != 1 || sum != 45) {
			err = fmt.Errorf("branch %d has won, the sum is %d", winner, sum)
		}
		if err != nil {
			return result{}, err
		}
		return result(in), nil
	})
}

// childMain runs the worker and does not return, in a process that was started for it.
func childMain() {
	url := os.Getenv(childEnv)
	if url == "" {
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	conn, err := bus.Dial(ctx, bus.Config{URL: url, Service: service})
	exitOn(err)
	w, err := flow.NewWorker(conn, service, []flow.Registered{long(conn), wide(conn), doze()})
	exitOn(err)
	go func() {
		<-w.Ready()
		fmt.Fprintln(os.Stdout, "ready")
	}()
	exitOn(w.Run(ctx))
	exitOn(conn.Drain(context.Background()))
	os.Exit(0)
}

func exitOn(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

type child struct {
	t   *testing.T
	cmd *exec.Cmd
}

// startChild returns once the child's worker takes inputs.
func startChild(t *testing.T, url string) *child {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+url)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c := &child{t: t, cmd: cmd}
	t.Cleanup(c.kill)
	lines := bufio.NewScanner(out)
	if !lines.Scan() || lines.Text() != "ready" {
		t.Fatal("the child did not become ready: ", lines.Text(), lines.Err())
	}
	return c
}

func (c *child) pid() string { return fmt.Sprint(c.cmd.Process.Pid) }

func (c *child) signal(s syscall.Signal) {
	c.t.Helper()
	if err := c.cmd.Process.Signal(s); err != nil {
		c.t.Fatal(err)
	}
}

// kill ends the process as kill -9 does.
func (c *child) kill() {
	if c.cmd.ProcessState == nil {
		_ = c.cmd.Process.Kill()
		_ = c.cmd.Wait()
	}
}

// terminate ends the process with SIGTERM and expects it to end well.
func (c *child) terminate() {
	c.t.Helper()
	c.signal(syscall.SIGTERM)
	if err := c.cmd.Wait(); err != nil {
		c.t.Error("the child ended badly: ", err)
	}
}

// witness counts the effects of children.
type witness struct {
	mu      sync.Mutex
	byStep  map[string]int // "<id> <step>"
	keys    map[string]string
	byChild map[string]int
	log     []string // "<id> <pid>" in order
	broken  []string
}

func newWitness(t *testing.T, conn *bus.Conn) *witness {
	t.Helper()
	w := &witness{byStep: map[string]int{}, keys: map[string]string{}, byChild: map[string]int{}}
	sub, err := conn.NATS().Subscribe(effectSubject, func(m *nats.Msg) {
		f := strings.Fields(string(m.Data))
		w.mu.Lock()
		step := f[0] + " " + f[1]
		w.byStep[step]++
		w.byChild[f[3]]++
		w.log = append(w.log, f[0]+" "+f[3])
		if key, ok := w.keys[step]; ok && key != f[2] {
			w.broken = append(w.broken, step+" has two keys")
		}
		w.keys[step] = f[2]
		w.mu.Unlock()
		_ = m.Respond(nil)
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sub.Unsubscribe() })
	if err := conn.NATS().Flush(); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *witness) of(pid string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.byChild[pid]
}

// mark is a point in time for since.
func (w *witness) mark() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.log)
}

// since is the most steps that the child did for one and the same flow after the mark.
func (w *witness) since(mark int, pid string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	most, count := 0, map[string]int{}
	for _, l := range w.log[mark:] {
		if strings.HasSuffix(l, " "+pid) {
			count[l]++
			most = max(most, count[l])
		}
	}
	return most
}

// check expects every step of every flow to have happened, repetitions only of the
// step under way and never with another key.
func (w *witness) check(t *testing.T, ids []string, repeats int) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	extra := 0
	for _, id := range ids {
		for i := range 10 {
			n := w.byStep[fmt.Sprint(id, " s", i)]
			if n == 0 {
				t.Errorf("step %d of %s never happened", i, id)
			}
			extra += n - 1
		}
	}
	if extra > repeats {
		t.Errorf("%d steps were repeated, at most %d may be", extra, repeats)
	}
	for _, b := range w.broken {
		t.Error(b)
	}
}
