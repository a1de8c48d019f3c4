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
	steps   int
	step    time.Duration // how long each step works
	goal    Goal
}

// usual reports whether the flows are those for which there are goals.
func (o Options) usual() bool { return o.Steps == 3 && o.StepTime == 0 }

// trials are the measurements on one kind of server.
func (o Options) trials(k kindOfServer) []trial {
	name := fmt.Sprintf("%d no-op steps", o.Steps)
	if o.StepTime > 0 {
		name = fmt.Sprintf("%d steps of %v", o.Steps, o.StepTime)
	}
	one, many := trial{name: name, clients: 1}, trial{name: name, clients: flowClients}
	switch k {
	case plain:
		one.goal, many.goal = Goal{P50: 300 * time.Microsecond, P99: time.Millisecond}, Goal{Ops: 12_000}
	case synced:
		one.goal, many.goal = Goal{P50: 1800 * time.Microsecond}, Goal{Ops: 1300}
	case replicated:
		many.goal = Goal{Ops: 5000}
	}
	list := []trial{one, many}
	if k == plain && o.usual() {
		list = append(list, trial{name: "3 steps of 2 ms", clients: flowClients, step: busyStep})
	}
	for i := range list {
		list[i].steps = o.Steps
		if list[i].step == 0 {
			list[i].step = o.StepTime
		}
		if !o.usual() {
			list[i].goal = Goal{}
		}
		if k != plain {
			list[i].name = string(k) + ": " + list[i].name
		}
	}
	return list
}

// kindOfServer is what the flows are stored on.
type kindOfServer string

const (
	plain      kindOfServer = "one server"
	synced     kindOfServer = "fsync always"
	replicated kindOfServer = "three servers, R3"
)

// servers are those to measure on over a transport: the disk and the cluster do not
// care about it and are measured once.
func (o Options) servers(transport string) []kindOfServer {
	var list []kindOfServer
	if o.Sync != SyncAlways {
		list = append(list, plain)
	}
	if transport != o.Transports[0] {
		return list
	}
	if o.Sync != SyncInterval {
		list = append(list, synced)
	}
	if o.Sync == "" {
		list = append(list, replicated)
	}
	return list
}

// Flow measures durable flows from their start to their answer, beside as many
// compare-and-appends by hand: one for the start and two for the journal, each after
// the one before.
func Flow(ctx context.Context, o Options) (Report, error) {
	o = o.withDefaults()
	report := newReport("flow", o)
	for _, transport := range o.Transports {
		for _, k := range o.servers(transport) {
			rows, err := flowOver(ctx, o, transport, k)
			if err != nil {
				return report, fmt.Errorf("bench flow over %s: %w", transport, err)
			}
			report.Rows = append(report.Rows, rows...)
		}
	}
	report.finish()
	return report, nil
}

func flowOver(ctx context.Context, o Options, transport string, k kindOfServer) (rows []Row, err error) {
	g, err := flowGround(ctx, o, transport, k)
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
	caller, err := g.pair(ctx, "caller")
	if err != nil {
		return nil, err
	}
	for i, t := range o.trials(k) {
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

// flowGround is a ground on one kind of server.
func flowGround(ctx context.Context, o Options, transport string, k kindOfServer) (*ground, error) {
	dir, err := os.MkdirTemp(o.Dir, "mesh-bench-")
	if err != nil {
		return nil, err
	}
	if k == replicated {
		cluster, err := natsd.StartCluster(ctx, 3, dir, natsd.Config{})
		if err != nil {
			return nil, errors.Join(err, os.RemoveAll(dir))
		}
		return &ground{transport: TCP, cluster: cluster, dir: dir}, cluster.WaitReady(ctx)
	}
	server, err := natsd.Start(natsd.Config{Port: -1, StoreDir: dir, SyncAlways: k == synced})
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return &ground{transport: transport, server: server, dir: dir}, nil
}

// measureFlow runs one trial with a worker of its own.
func measureFlow(ctx context.Context, o Options, conn *bus.Conn, caller pair, t trial, version int) (row Row, err error) {
	def := tripFlow(version, t)
	stop, err := serveFlow(ctx, conn, def)
	if err != nil {
		return row, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	client := flow.NewClient(caller.ours, flowService)
	var n atomic.Int64
	ours := func(ctx context.Context, _ int) error {
		id := "t" + strconv.Itoa(version) + "-" + strconv.FormatInt(n.Add(1), 10)
		out, err := flow.Do(ctx, client, def, id, trip{Order: id, Total: 1})
		if err == nil && out.Total != int64(t.steps)+1 {
			return fmt.Errorf("flow %s ended with %+v", id, out)
		}
		return err
	}
	before, err := flowCosts(ctx, conn)
	if err != nil {
		return row, err
	}
	raw := &rawTrips{conn: caller.raw, prefix: fmt.Sprint("raw.", version, "."), steps: t.steps, step: t.step}
	row, err = compare(ctx, o, t.clients, ours, raw.do)
	if err != nil {
		return row, err
	}
	after, err := flowCosts(ctx, conn)
	row.Name, row.Goal = t.name, t.goal
	row.Note = after.since(before, n.Load())
	return row, err
}

func tripFlow(version int, t trial) flow.Definition[trip, trip] {
	names := []string{"reserve", "pay", "ship"}[:min(t.steps, 3)]
	for i := len(names); i < t.steps; i++ {
		names = append(names, "step_"+strconv.Itoa(i+1))
	}
	return flow.Define("trip", version, func(run *flow.Run, in trip) (trip, error) {
		for _, name := range names {
			out, err := flow.Step(run, name, func(ctx context.Context) (trip, error) {
				return trip{in.Order, in.Total + 1}, work(ctx, t.step)
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
