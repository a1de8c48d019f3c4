package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/flow"
	"github.com/ordermesh/ordermesh/embedded/natsd"
)

const (
	flowSteps   = 3
	flowClients = 64
	flowService = "bench"
	busyStep    = 2 * time.Millisecond
)

// trip is a flow's input and every step's result.
type trip struct {
	Order string `json:"order"`
	Total int64  `json:"total"`
}

// trial is one measurement of flows.
type trial struct {
	name    string
	clients int
	step    time.Duration // how long each step works
	goal    Goal
}

func flowTrials() []trial {
	return []trial{
		{name: "3 no-op steps", clients: 1, goal: Goal{P50: 300 * time.Microsecond}},
		{name: "3 no-op steps", clients: flowClients, goal: Goal{Ops: 12_000}},
		{name: "3 steps of 2 ms", clients: flowClients, step: busyStep},
	}
}

// syncedTrials run with an fsync for every write.
func syncedTrials() []trial {
	return []trial{
		{name: "fsync always", clients: 1},
		{name: "fsync always", clients: flowClients},
	}
}

// Flow measures durable flows from their start to their answer, beside as many
// compare-and-appends by hand: one for the start and two for a journal of three
// steps, each after the one before.
func Flow(ctx context.Context, o Options) (Report, error) {
	o = o.withDefaults()
	report := newReport("flow", o)
	for _, transport := range o.Transports {
		for _, synced := range []bool{false, true} {
			if synced && transport != o.Transports[0] {
				continue // the disk is the same
			}
			rows, err := flowOver(ctx, o, transport, synced)
			if err != nil {
				return report, fmt.Errorf("bench flow over %s: %w", transport, err)
			}
			report.Rows = append(report.Rows, rows...)
		}
	}
	report.finish()
	return report, nil
}

func flowOver(ctx context.Context, o Options, transport string, synced bool) (rows []Row, err error) {
	g, err := flowGround(o, transport, synced)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, g.close()) }()
	specs := contract.Streams(contract.Service{Name: flowService, Flows: []contract.FlowInfo{{Name: "trip", Version: 1}}})
	specs = append(specs, contract.StreamSpec{Name: benchStream, Subjects: []string{"raw.>"}})
	if err := g.provision(ctx, specs); err != nil {
		return nil, err
	}
	conn, err := g.dial(ctx, flowService)
	if err != nil {
		return nil, err
	}
	caller, err := g.dial(ctx, "caller")
	if err != nil {
		return nil, err
	}
	trials := flowTrials()
	if synced {
		trials = syncedTrials()
	}
	for i, t := range trials {
		row, err := measureFlow(ctx, o, conn, caller, t, i+1)
		if err != nil {
			return nil, err
		}
		row.Transport = transport
		rows = append(rows, row)
		fmt.Fprintf(o.Progress, "flow, %s over %s, %d clients: %.0f/s, p50 %v, %.2f of raw; %s\n",
			t.name, transport, t.clients, row.Ours.Ops, row.Ours.P50, row.OpsRatio, row.Note)
	}
	return rows, nil
}

// flowGround is a ground whose server may sync every write.
func flowGround(o Options, transport string, synced bool) (*ground, error) {
	dir, err := os.MkdirTemp(o.Dir, "mesh-bench-")
	if err != nil {
		return nil, err
	}
	server, err := natsd.Start(natsd.Config{Port: -1, StoreDir: dir, SyncAlways: synced})
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return &ground{transport: transport, server: server, dir: dir}, nil
}

// measureFlow runs one trial with a worker of its own.
func measureFlow(ctx context.Context, o Options, conn, caller *bus.Conn, t trial, version int) (row Row, err error) {
	def := tripFlow(version, t.step)
	stop, err := serveFlow(ctx, conn, def)
	if err != nil {
		return row, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	client := flow.NewClient(caller, flowService)
	var n atomic.Int64
	ours := func(ctx context.Context, _ int) error {
		id := "t" + strconv.Itoa(version) + "-" + strconv.FormatInt(n.Add(1), 10)
		out, err := flow.Do(ctx, client, def, id, trip{Order: id, Total: 1})
		if err == nil && out.Total != flowSteps+1 {
			return fmt.Errorf("flow %s ended with %+v", id, out)
		}
		return err
	}
	before, err := flowCosts(ctx, conn)
	if err != nil {
		return row, err
	}
	raw := &rawTrips{conn: caller, prefix: fmt.Sprint("raw.", version, "."), step: t.step}
	row, err = compare(ctx, o, t.clients, ours, raw.do)
	if err != nil {
		return row, err
	}
	after, err := flowCosts(ctx, conn)
	row.Name, row.Goal = t.name, t.goal
	row.Note = after.since(before, n.Load())
	return row, err
}

func tripFlow(version int, step time.Duration) flow.Definition[trip, trip] {
	names := [flowSteps]string{"reserve", "pay", "ship"}
	return flow.Define("trip", version, func(run *flow.Run, in trip) (trip, error) {
		for _, name := range names {
			out, err := flow.Step(run, name, func(ctx context.Context) (trip, error) {
				return trip{in.Order, in.Total + 1}, work(ctx, step)
			})
			if err != nil {
				return trip{}, err
			}
			in = out
		}
		return in, nil
	})
}

// work takes d.
func work(ctx context.Context, d time.Duration) error {
	if d == 0 {
		return nil
	}
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// serveFlow runs a worker until stop is called.
func serveFlow(ctx context.Context, conn *bus.Conn, def flow.Registered) (stop func() error, err error) {
	w, err := flow.NewWorker(conn, flowService, []flow.Registered{def})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	stop = func() error {
		cancel()
		return <-done
	}
	select {
	case <-w.Ready():
		return stop, nil
	case <-time.After(time.Minute):
		return nil, errors.Join(errors.New("the flow worker did not become ready"), stop())
	}
}

// costs are what the flows so far have cost.
type costs struct {
	appends uint64
	bytes   float64
}

func flowCosts(ctx context.Context, conn *bus.Conn) (costs, error) {
	stream, err := conn.JetStream().Stream(ctx, contract.FlowStream)
	if err != nil {
		return costs{}, err
	}
	families, err := conn.Telemetry().Registry.Gather()
	if err != nil {
		return costs{}, err
	}
	c := costs{appends: stream.CachedInfo().State.LastSeq}
	for _, f := range families {
		if f.GetName() == "mesh_flow_journal_bytes_total" {
			for _, m := range f.GetMetric() {
				c.bytes += m.GetCounter().GetValue()
			}
		}
	}
	return c, nil
}

func (c costs) since(before costs, flows int64) string {
	n := float64(max(flows, 1))
	return fmt.Sprintf("%.2f appends and %.0f bytes of journal per flow", float64(c.appends-before.appends)/n, (c.bytes-before.bytes)/n)
}
