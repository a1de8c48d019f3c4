package bench

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/flow"
)

// naps says how many flows sleep for how long.
type naps struct {
	flows int
	near  time.Duration // stays in the worker's memory
	far   time.Duration // leaves it and is loaded again
}

var defaultNaps = naps{flows: 1000, near: 5 * time.Second, far: 14 * time.Second}

// nap is the input of a sleeping flow.
type nap struct {
	Until time.Time `json:"until"`
}

// sleepers are flows that sleep, and what they found when they woke.
type sleepers struct {
	def    flow.Definition[nap, nap]
	client *flow.Client

	mu    sync.Mutex
	late  *hdrhistogram.Histogram
	early int
	woken chan struct{}
}

func newSleepers(client *flow.Client) *sleepers {
	s := &sleepers{client: client, woken: make(chan struct{}, defaultNaps.flows)}
	s.def = flow.Define("nap", 1, func(run *flow.Run, in nap) (nap, error) {
		err := run.SleepUntil("nap", in.Until)
		s.woke(time.Since(in.Until))
		return in, err
	})
	return s
}

func (s *sleepers) woke(late time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if late < 0 {
		s.early++
	} else if s.late != nil {
		_ = s.late.RecordValue(min(int64(late), longest)) // what does not fit counts as the longest
	}
	select {
	case s.woken <- struct{}{}:
	default: // nobody counts
	}
}

// sleep starts n flows that all sleep for d, each from its own start on, and waits
// until they have woken.
func (s *sleepers) sleep(ctx context.Context, prefix string, n int, d time.Duration) (Sample, error) {
	s.mu.Lock()
	s.late, s.early = hdrhistogram.New(1, longest, digits), 0
	s.mu.Unlock()
	cpu, began := processCPU(), time.Now()
	if err := s.start(ctx, prefix, n, func() time.Time { return time.Now().Add(d) }); err != nil {
		return Sample{}, err
	}
	for range n {
		select {
		case <-s.woken:
		case <-ctx.Done():
			return Sample{}, ctx.Err()
		case <-time.After(d + time.Duration(longest)):
			return Sample{}, errors.New("not all flows have woken up")
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.early > 0 {
		return Sample{}, fmt.Errorf("%d of %d flows were woken early", s.early, n)
	}
	return summarize([]*hdrhistogram.Histogram{s.late}, time.Since(began), processCPU()-cpu)
}

// start starts n flows, many at a time.
func (s *sleepers) start(ctx context.Context, prefix string, n int, until func() time.Time) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	numbers := make(chan int)
	var wg sync.WaitGroup
	for range flowClients {
		wg.Go(func() {
			for i := range numbers {
				if _, err := flow.Start(ctx, s.client, s.def, prefix+strconv.Itoa(i), nap{until()}); err != nil {
					cancel(err)
				}
			}
		})
	}
	for i := range n {
		select {
		case numbers <- i:
		case <-ctx.Done():
		}
	}
	close(numbers)
	wg.Wait()
	return context.Cause(ctx)
}

// Timers measures how late sleeping flows wake up, beside bare schedules of the
// server, and what flows cost that sleep for long.
func Timers(ctx context.Context, o Options) (Report, error) {
	o = o.withDefaults()
	report := newReport("timers", o)
	report.Rounds = 1
	err := timersOver(ctx, o, defaultNaps, &report)
	report.finish()
	return report, err
}

func timersOver(ctx context.Context, o Options, n naps, report *Report) (err error) {
	g, err := newGround(o, o.Transports[0])
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.close()) }()
	if err := g.provision(ctx, contract.Streams(contract.Service{Name: flowService, Flows: []contract.FlowInfo{{Name: "nap", Version: 1}}})); err != nil {
		return err
	}
	conn, err := g.dial(ctx, flowService)
	if err != nil {
		return err
	}
	caller, err := g.dial(ctx, "caller")
	if err != nil {
		return err
	}
	s := newSleepers(flow.NewClient(caller, flowService))
	stop, err := serveFlow(ctx, conn, s.def)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	for _, t := range []struct {
		name string
		d    time.Duration
	}{{"flow, in memory", n.near}, {"flow, out of memory", n.far}} {
		sample, err := s.sleep(ctx, fmt.Sprint("t", t.d.Milliseconds(), "-"), n.flows, t.d)
		if err != nil {
			return err
		}
		row := Row{Name: t.name + ", " + t.d.String(), Transport: o.Transports[0], Concurrency: n.flows, Ours: sample}
		row.Goal = Goal{P50: 2 * time.Millisecond, P99: 10 * time.Millisecond}
		report.Rows = append(report.Rows, row)
		fmt.Fprintf(o.Progress, "%s: woken %v late (p99 %v), none early\n", row.Name, sample.P50, sample.P99)
	}
	sample, err := bareSchedules(ctx, caller, n)
	if err != nil {
		return err
	}
	report.Rows = append(report.Rows, Row{
		Name: "server's schedule alone, " + n.near.String(), Transport: o.Transports[0], Concurrency: n.flows,
		Ours: sample, Goal: Goal{P99: 300 * time.Millisecond},
	})
	fmt.Fprintf(o.Progress, "server's schedule alone: %v late (p99 %v)\n", sample.P50, sample.P99)
	note, err := s.asleep(ctx, o, conn)
	if err != nil {
		return err
	}
	err, stop = stop(), func() error { return nil }
	if err != nil {
		return err
	}
	ready, err := s.restart(ctx, conn)
	report.Notes = append(report.Notes, note, fmt.Sprintf("a worker is ready %v after its start beside them", ready.Round(time.Millisecond)))
	return err
}

// bareSchedules measures the server's timers without a flow.
func bareSchedules(ctx context.Context, conn *bus.Conn, n naps) (Sample, error) {
	late := hdrhistogram.New(1, longest, digits)
	fired := make(chan time.Time, n.flows)
	consumer, err := conn.JetStream().CreateConsumer(ctx, contract.FlowStream, jetstream.ConsumerConfig{
		FilterSubject: contract.FlowInputFilter("raw", 0), AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true,
	})
	if err != nil {
		return Sample{}, err
	}
	feed, err := consumer.Consume(func(m jetstream.Msg) {
		if due, err := time.Parse(time.RFC3339Nano, m.Headers().Get("Due")); err == nil {
			fired <- due
		}
	}, jetstream.PullExpiry(5*time.Second))
	if err != nil {
		return Sample{}, err
	}
	defer feed.Stop()
	cpu, began := processCPU(), time.Now()
	for i := range n.flows {
		id := strconv.Itoa(i)
		due := time.Now().Add(n.near).UTC().Format(time.RFC3339Nano)
		msg := &nats.Msg{Subject: contract.FlowTimer("raw", "nap", id, "0"), Header: nats.Header{
			"Nats-Schedule": {"@at " + due}, "Nats-Schedule-Target": {contract.FlowInput("raw", 0, "nap", id)}, "Due": {due},
		}}
		if _, err := conn.Appender().Append(ctx, msg, bus.NoExpectation); err != nil {
			return Sample{}, err
		}
	}
	for range n.flows {
		select {
		case due := <-fired:
			if err := late.RecordValue(max(int64(time.Since(due)), 1)); err != nil {
				return Sample{}, err
			}
		case <-ctx.Done():
			return Sample{}, ctx.Err()
		case <-time.After(n.near + time.Duration(longest)):
			return Sample{}, errors.New("not all schedules have gone off")
		}
	}
	return summarize([]*hdrhistogram.Histogram{late}, time.Since(began), processCPU()-cpu)
}

// asleep puts many flows to sleep for a day and tells what they cost in the stream and
// in the memory of this process, server and all.
func (s *sleepers) asleep(ctx context.Context, o Options, conn *bus.Conn) (string, error) {
	stream, err := conn.JetStream().Stream(ctx, contract.FlowStream)
	if err != nil {
		return "", err
	}
	before, heap := stream.CachedInfo().State.Bytes, heapInUse()
	tomorrow := time.Now().Add(24 * time.Hour)
	began := time.Now()
	if err := s.start(ctx, "day-", o.Sleepers, func() time.Time { return tomorrow }); err != nil {
		return "", err
	}
	took := time.Since(began)
	if err := s.evicted(ctx, conn); err != nil {
		return "", err
	}
	info, err := stream.Info(ctx)
	if err != nil {
		return "", err
	}
	n := float64(o.Sleepers)
	perFlow, stored := float64(heapInUse()-heap)/n, float64(info.State.Bytes-before)/n
	return fmt.Sprintf("%d flows asleep for a day: started at %.0f/s, %.0f bytes each in the stream, %.0f bytes each in the memory of worker and server together",
		o.Sleepers, n/took.Seconds(), stored, perFlow), nil
}

// evicted waits until no instance is in memory.
func (s *sleepers) evicted(ctx context.Context, conn *bus.Conn) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	late := time.After(5 * time.Minute)
	for {
		n, err := running(conn)
		if err != nil || n == 0 {
			return err
		}
		select {
		case <-tick.C:
		case <-late:
			return fmt.Errorf("%.0f flows have not left memory", n)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// running is how many flows are in memory.
func running(conn *bus.Conn) (float64, error) {
	families, err := conn.Telemetry().Registry.Gather()
	if err != nil {
		return 0, err
	}
	var n float64
	for _, f := range families {
		if f.GetName() == "mesh_flow_running" {
			for _, m := range f.GetMetric() {
				n += m.GetGauge().GetValue()
			}
		}
	}
	return n, nil
}

// restart measures how long a worker takes until it is ready.
func (s *sleepers) restart(ctx context.Context, conn *bus.Conn) (time.Duration, error) {
	began := time.Now()
	stop, err := serveFlow(ctx, conn, s.def)
	if err != nil {
		return 0, err
	}
	ready := time.Since(began)
	return ready, stop()
}

func heapInUse() int64 {
	runtime.GC()
	runtime.GC() // what finalizers let go
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc) //nolint:gosec // a size in memory
}
