package bench

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/policy"
	"github.com/ordermesh/ordermesh/bus/rpc"
)

// overloadFactor is how much more than it can do a server is offered.
const overloadFactor = 10

// overloadLasts is how many measurements long the overload is: 30 s by default.
const overloadLasts = 15

// busyServer is a server that is overloaded: what its handlers do, and how many of them
// may run at the same time.
type busyServer struct {
	name    string
	hands   int
	clients int // that find out what it can do, each waiting for its own
	work    func() func(ctx context.Context) error
}

// busyServers lists servers that wait for something else, as most do, for a short and for a
// long time, and one that computes, with as many hands as there are processors: with more
// of them everything is late, refusals too.
func busyServers() []busyServer {
	return []busyServer{
		{"overload, 10ms", 4, 4, pausing(10 * time.Millisecond)},
		{"overload, 100ms", 16, 16, pausing(100 * time.Millisecond)},
		{"overload, 10ms of computing", runtime.GOMAXPROCS(0), runtime.GOMAXPROCS(0), computing(10 * time.Millisecond)},
	}
}

func pausing(handler time.Duration) func() func(context.Context) error {
	return func() func(context.Context) error {
		return func(ctx context.Context) error {
			timer := time.NewTimer(handler)
			defer timer.Stop()
			select {
			case <-timer.C:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
}

// computing is work for a processor that takes about so long when it has one to itself, and
// as much longer as it must share it.
func computing(handler time.Duration) func() func(context.Context) error {
	return func() func(context.Context) error {
		const try = 2000
		best := handler
		for range 20 {
			began := time.Now()
			hash(try)
			best = min(best, time.Since(began))
		}
		times := int(try * float64(handler) / float64(best))
		return func(context.Context) error {
			if hash(times) == [sha256.Size]byte{} {
				return errors.New("a hash is nothing but zeros")
			}
			return nil
		}
	}
}

func hash(times int) (sum [sha256.Size]byte) {
	for range times {
		sum = sha256.Sum256(sum[:])
	}
	return sum
}

var overloadMethod = contract.NewMethod[stockQuery, stockLevel]("bench", "work", contract.Read())

// Overload offers a server half of what it can do and then ten times as much, whatever it
// answers: what it accepts must complete, and nearly as fast as usual; the rest must be told
// to come back later.
func Overload(ctx context.Context, o Options) (Report, error) {
	o = o.withDefaults()
	report := newReport("overload", o)
	for _, s := range busyServers() {
		if o.Handler != "" && s.name != "overload, "+o.Handler {
			continue
		}
		rows, err := overloadOf(ctx, o, s)
		if err != nil {
			return report, fmt.Errorf("bench %s: %w", s.name, err)
		}
		report.Rows = append(report.Rows, rows...)
	}
	report.finish()
	return report, nil
}

// OverloadHandlers lists what Options.Handler can be.
func OverloadHandlers() (list []string) {
	for _, s := range busyServers() {
		list = append(list, s.name[len("overload, "):])
	}
	return list
}

func overloadOf(ctx context.Context, o Options, s busyServer) (rows []Row, err error) {
	m, err := o.overloadGround(ctx, s)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, m.stop()) }()
	calls := policy.Mesh()
	calls.Retry.Off, calls.Breaker.Off = true, true
	client := rpc.NewClient(m.caller, rpc.WithPolicies(policy.Fixed(m.caller, calls)))
	most, err := load(ctx, s.clients, o.Duration, func(ctx context.Context, _ int) error {
		_, err := rpc.Call(ctx, client, overloadMethod, stockQuery{SKU: "TEA-001"})
		return err
	})
	if err != nil {
		return nil, err
	}
	usual, err := m.offer(ctx, client, most.Ops/2, o.Duration)
	if err != nil {
		return nil, err
	}
	over, err := m.offer(ctx, client, most.Ops*overloadFactor, overloadLasts*o.Duration)
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(o.Progress, "%s%s: p99 %v, overloaded %v\n", s.name, m.how, usual.sample.P99, over.sample.P99)
	normal := Row{Name: s.name + m.how, Ours: usual.sample, Note: "half of what it can do: " + usual.String()}
	row := Row{Name: s.name + m.how, Ours: over.sample, Goal: Goal{P99: 3 * usual.sample.P99, Ops: most.Ops / 2}}
	row.Note = fmt.Sprintf("%d times what it can do: %s; p99 is %.1f times the usual", overloadFactor, over, float64(over.sample.P99)/float64(usual.sample.P99))
	if lost := over.other.Load() + usual.other.Load(); lost > 0 {
		return nil, fmt.Errorf("%d calls were neither served nor refused with a time to come back, such as: %w", lost, over.why)
	}
	return []Row{normal, row}, nil
}

// serve answers until stop is called.
func (s busyServer) serve(ctx context.Context, conn *bus.Conn) (stop func() error, err error) {
	server, err := rpc.NewServer(conn, contract.Service{Name: "bench", Version: "1.0.0", Serves: []contract.MethodInfo{overloadMethod.Info()}}, rpc.WithConcurrency(s.hands))
	if err != nil {
		return nil, err
	}
	work := s.work()
	rpc.Handle(server, overloadMethod, func(ctx context.Context, q stockQuery) (stockLevel, error) { return level(q.SKU), work(ctx) })
	return serving(ctx, server)
}

// busyServerOf finds a server by its name.
func busyServerOf(name string) (busyServer, error) {
	list := busyServers()
	i := slices.IndexFunc(list, func(s busyServer) bool { return s.name == name })
	if i < 0 {
		return busyServer{}, fmt.Errorf("there is no server %q to be overloaded", name)
	}
	return list[i], nil
}
