package bench

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

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
// run at the same time.
type busyServer struct {
	name  string
	hands int
	work  func(ctx context.Context) error
}

// busyServers lists servers that wait for something else, as most do, for a short and for a
// long time.
func busyServers() []busyServer {
	return []busyServer{
		{"overload, 10ms", 4, pausing(10 * time.Millisecond)},
		{"overload, 100ms", 16, pausing(100 * time.Millisecond)},
	}
}

func pausing(handler time.Duration) func(context.Context) error {
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

var overloadMethod = contract.NewMethod[stockQuery, stockLevel]("bench", "work", contract.Read())

// Overload offers a server half of what it can do and then ten times as much, whatever it
// answers: what it accepts must complete, and nearly as fast as usual; the rest must be told
// to come back later.
func Overload(ctx context.Context, o Options) (Report, error) {
	o = o.withDefaults()
	report := newReport("overload", o)
	for _, s := range busyServers() {
		rows, err := overloadOf(ctx, o, s)
		if err != nil {
			return report, fmt.Errorf("bench %s: %w", s.name, err)
		}
		report.Rows = append(report.Rows, rows...)
	}
	report.finish()
	return report, nil
}

func overloadOf(ctx context.Context, o Options, s busyServer) (rows []Row, err error) {
	g, err := newGround(o, TCP)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, g.close()) }()
	conn, err := g.dial(ctx, "bench")
	if err != nil {
		return nil, err
	}
	stop, err := s.serve(ctx, conn)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	caller, err := g.dial(ctx, "caller")
	if err != nil {
		return nil, err
	}
	calls := policy.Mesh()
	calls.Retry.Off, calls.Breaker.Off = true, true
	client := rpc.NewClient(caller, rpc.WithPolicies(policy.Fixed(caller, calls)))
	most, err := load(ctx, s.hands, o.Duration, func(ctx context.Context, _ int) error {
		_, err := rpc.Call(ctx, client, overloadMethod, stockQuery{SKU: "TEA-001"})
		return err
	})
	if err != nil {
		return nil, err
	}
	usual := offer(ctx, client, most.Ops/2, o.Duration)
	flood := offer(ctx, client, most.Ops*overloadFactor, overloadLasts*o.Duration)
	fmt.Fprintf(o.Progress, "%s: p99 %v, overloaded %v\n", s.name, usual.sample.P99, flood.sample.P99)
	normal := Row{Name: s.name, Ours: usual.sample, Note: "half of what it can do: " + usual.String()}
	row := Row{Name: s.name, Ours: flood.sample, Goal: Goal{P99: 3 * usual.sample.P99, Ops: most.Ops / 2}}
	row.Note = fmt.Sprintf("%d times what it can do: %s; p99 is %.1f times the usual", overloadFactor, flood, float64(flood.sample.P99)/float64(usual.sample.P99))
	if lost := flood.other.Load() + usual.other.Load(); lost > 0 {
		return nil, fmt.Errorf("%d calls were neither served nor refused with a time to come back, such as: %w", lost, flood.why)
	}
	return []Row{normal, row}, nil
}

// serve answers until stop is called.
func (s busyServer) serve(ctx context.Context, conn *bus.Conn) (stop func() error, err error) {
	server, err := rpc.NewServer(conn, contract.Service{Name: "bench", Version: "1.0.0", Serves: []contract.MethodInfo{overloadMethod.Info()}}, rpc.WithConcurrency(s.hands))
	if err != nil {
		return nil, err
	}
	rpc.Handle(server, overloadMethod, func(ctx context.Context, q stockQuery) (stockLevel, error) { return level(q.SKU), s.work(ctx) })
	return serving(ctx, server)
}

// flood is what became of calls that came at a pace of their own.
type flood struct {
	sample  Sample // of those that were served
	rate    float64
	refused atomic.Int64
	other   atomic.Int64 // neither served nor refused with a time
	mu      sync.Mutex
	why     error
}

// String says what became of them.
func (f *flood) String() string {
	return fmt.Sprintf("%.0f/s offered, %d served, %d refused with a time to come back", f.rate, f.sample.Count, f.refused.Load())
}

// offer makes calls at a pace, whether or not those before are answered, and waits for all
// answers. Times count from when a call was due.
func offer(ctx context.Context, client *rpc.Client, rate float64, d time.Duration) *flood {
	f := &flood{rate: rate}
	served := hdrhistogram.New(1, longest, digits)
	cpu, start := processCPU(), time.Now()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	var all sync.WaitGroup
	for made := 0; time.Since(start) < d; {
		for ; float64(made) < time.Since(start).Seconds()*rate; made++ {
			all.Go(func() {
				due := time.Now()
				_, err := rpc.Call(ctx, client, overloadMethod, stockQuery{SKU: "TEA-001"})
				f.count(err, time.Since(due), served)
			})
		}
		<-tick.C
	}
	all.Wait()
	if n := served.TotalCount(); n > 0 {
		f.sample = Sample{
			Ops: float64(n) / time.Since(start).Seconds(), Count: n, CPU: (processCPU() - cpu) / time.Duration(n),
			P50: time.Duration(served.ValueAtQuantile(50)), P99: time.Duration(served.ValueAtQuantile(99)),
		}
	}
	return f
}

func (f *flood) count(err error, took time.Duration, served *hdrhistogram.Histogram) {
	if err == nil {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.why = errors.Join(f.why, served.RecordValue(int64(took)))
		return
	}
	if e := contract.AsError(err); e.Code == contract.Exhausted && e.RetryAfter > 0 {
		f.refused.Add(1)
		return
	}
	f.other.Add(1)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.why = err
}
