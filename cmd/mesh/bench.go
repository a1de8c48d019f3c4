package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/pprof"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/cmd/mesh/bench"
)

// benchmark is one thing that `mesh bench` measures.
type benchmark struct {
	name, doc string
	run       func(context.Context, bench.Options) (bench.Report, error)
}

// benchmarks lists them in the order in which they run.
func benchmarks() []benchmark {
	return []benchmark{
		{"rpc", "request and reply, beside nats.go by hand", bench.RPC},
		{"overload", "a server that is offered ten times what it can do", bench.Overload},
		{"config", "changes of settings and rules until three instances run them, beside watchers by hand", bench.Live},
		{"append", "commands on entities, beside compare-and-append by hand; cold loads", bench.Append},
		{"consume", "a durable consumer, beside a Consume loop by hand", bench.Consume},
		{"view", "a view in PostgreSQL that works a stream off, beside a COPY of as many rows", bench.View},
		{"flow", "flows of three steps, beside as many appends by hand", bench.Flow},
		{"timers", "how late sleeping flows wake up, and what flows cost that sleep for long", bench.Timers},
		{"orders", "orders from placed to delivered, beside a chain of as many appends, deliveries and calls", bench.Orders(startInstant, startApart)},
		{"http", "the gateway, beside the same requests to the services", bench.HTTP(startInstantDoor)},
		{"cache", "products out of memory, Redis and the stream; a stampede, a Redis that never answers, a changed price", bench.Cache},
	}
}

func benchmarkNames() []string {
	var list []string
	for _, b := range benchmarks() {
		list = append(list, b.name)
	}
	return list
}

func benchCommand(c *cli) *cobra.Command {
	var o bench.Options
	var strict bool
	var profile string
	var doc strings.Builder
	for _, b := range benchmarks() {
		fmt.Fprintf(&doc, "  %-8s %s\n", b.name, b.doc)
	}
	cmd := &cobra.Command{
		Use: "bench [benchmark]...", Short: "Measure the library beside nats.go by hand, on servers of its own", GroupID: groupMeasure,
		Long: "Measure on embedded servers that are started for it; no running mesh is touched.\n" +
			"Raw figures are nats.go by hand with the same bytes, headers and JSON in the same run.\n\n" + doc.String(),
		Example:   "  mesh bench\n  mesh bench rpc --rounds 3 --duration 1s --concurrency 1,64\n  mesh bench orders --processes\n  mesh bench rpc --strict   # exit code 1 when a goal is missed",
		ValidArgs: benchmarkNames(),
		Args: func(_ *cobra.Command, args []string) error {
			for _, name := range args {
				if !slices.Contains(benchmarkNames(), name) {
					return usagef("there is no benchmark %q: choose from %s", name, strings.Join(benchmarkNames(), ", "))
				}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.Rounds < 1 || o.Stored < 1 || o.Sleepers < 1 || o.Changes < 1 || o.Duration <= 0 || slices.ContainsFunc(o.Concurrency, func(n int) bool { return n < 1 }) {
				return usagef("--rounds, --duration, --stored, --sleepers, --changes and --concurrency must be positive")
			}
			if o.Steps < 1 || o.StepTime < 0 || !slices.Contains([]string{"", bench.SyncAlways, bench.SyncInterval}, o.Sync) {
				return usagef("--steps must be positive, --step-time not negative, --sync %s or %s", bench.SyncAlways, bench.SyncInterval)
			}
			if o.Handler != "" && !slices.Contains(bench.OverloadHandlers(), o.Handler) {
				return usagef("--handler %q: choose from %s", o.Handler, strings.Join(bench.OverloadHandlers(), ", "))
			}
			return profiled(profile, func() error { return runBench(cmd.Context(), c, o, args, strict) })
		},
	}
	f := cmd.Flags()
	f.IntVar(&o.Rounds, "rounds", 5, "measurements of each kind, of which the median counts")
	f.DurationVar(&o.Duration, "duration", 2*time.Second, "of one measurement")
	f.IntSliceVar(&o.Concurrency, "concurrency", nil, "`numbers` of clients (default 1,16,128; of orders 1,64,256)")
	f.StringSliceVar(&o.Transports, "transport", []string{bench.TCP, bench.Pipe}, "tcp (loopback), pipe (in process)")
	f.IntVar(&o.Stored, "stored", 100_000, "append, cache: entities in the stream that cold loads read from; for cache a twentieth of them")
	f.IntVar(&o.Steps, "steps", 3, "flow: steps of a flow")
	f.DurationVar(&o.StepTime, "step-time", 0, "flow: how long each step works")
	f.StringVar(&o.Sync, "sync", "", "flow: only with an fsync \"always\", or at an \"interval\"")
	f.IntVar(&o.Sleepers, "sleepers", 10_000, "timers: flows that sleep for a day")
	f.BoolVar(&o.Processes, "processes", false, "orders: once more, with the server and every service in a process of its own")
	f.IntVar(&o.Changes, "changes", 1000, "cache: changes of a price")
	f.BoolVar(&o.Apart, "apart", false, "overload: the server and NATS in processes of their own, beside the clients")
	f.StringVar(&o.Handler, "handler", "", "overload: only the server whose handlers `take` this: "+strings.Join(bench.OverloadHandlers(), ", "))
	f.StringVar(&o.Dir, "dir", "", "where servers store (default the system's temporary folder)")
	f.StringVar(&profile, "cpuprofile", "", "write a CPU profile of the whole process to `file`, for go tool pprof")
	f.BoolVar(&strict, "strict", false, "exit with code 1 when a goal is missed")
	cmd.AddCommand(benchPart())
	return cmd
}

// benchPart is what a benchmark starts as a process of its own.
func benchPart() *cobra.Command {
	return &cobra.Command{
		Use: "part <what>", Short: "A process of a benchmark; it starts them itself", Hidden: true, Args: exactly("what it does"),
		Example: `  mesh bench part '{"role":"nats"}'`,
		RunE: func(cmd *cobra.Command, args []string) error {
			var part bench.Part
			if err := contract.Unmarshal([]byte(args[0]), &part); err != nil {
				return usagef("%w", err)
			}
			return part.Run(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout())
		},
	}
}

// profiled calls f, and profiles it into the named file when there is a name.
func profiled(file string, f func() error) (err error) {
	if file == "" {
		return f()
	}
	out, err := os.Create(file)
	if err != nil {
		return usagef("--cpuprofile: %v", err)
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	if err := pprof.StartCPUProfile(out); err != nil {
		return fmt.Errorf("profile: %w", err)
	}
	defer pprof.StopCPUProfile()
	return f()
}

// runBench runs the named benchmarks, or all, and prints each report when it is
// ready: with --json one document per benchmark.
func runBench(ctx context.Context, c *cli, o bench.Options, names []string, strict bool) error {
	write := bench.Report.WriteJSON
	if !c.json {
		o.Progress, write = c.errOut, bench.Report.WriteText
	}
	met := true
	for _, b := range benchmarks() {
		if len(names) > 0 && !slices.Contains(names, b.name) {
			continue
		}
		report, err := b.run(ctx, o)
		if err != nil {
			return fmt.Errorf("benchmark %s: %w", b.name, err)
		}
		if err := write(report, c.out); err != nil {
			return err
		}
		met = met && report.Met()
	}
	if strict && !met {
		return errors.New("a goal was missed: compare on a machine that does nothing else")
	}
	return nil
}
