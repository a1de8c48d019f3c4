// Command mesh is ordermesh in one binary: it runs the services, all in one
// process with an embedded NATS server or some of them against a server elsewhere,
// and it holds the tools that look into a running mesh and measure it.
//
// It is the only place that knows every service; it decides which of them share a
// process and nothing else. It holds no business rule.
//
// It promises exit codes that scripts can rely on (0 good, 1 found something bad, 2
// wrong usage or no connection), one sentence per error that says what to do next,
// --json on every command, and an orderly end on SIGINT or SIGTERM: running work is
// finished within ten seconds; a second signal ends the process at once.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/ordermesh/ordermesh/embedded/natsd"
)

func main() {
	natsd.ChildMain() // a benchmark starts its server as a process of its own
	tuneMemory()
	os.Exit(execute(os.Args[1:], os.Stdout, os.Stderr))
}

// execute runs one command line and returns the exit code.
func execute(args []string, out, errOut io.Writer) int {
	ctx, stop := untilSignal(context.Background(), errOut)
	defer stop()
	c := &cli{out: out, errOut: errOut, start: time.Now()}
	root := newRoot(c)
	root.SetArgs(args)
	root.SetOut(out)
	root.SetErr(errOut)
	command, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitGood
	}
	c.json = c.json || slices.Contains(args, "--json") // it may stand behind what was not understood
	code := c.exitCode(err)
	c.printError(command.CommandPath(), err, code)
	return code
}

// sameSignal is how long further signals count as echoes of the first: supervisors
// and terminals deliver one request to stop to a process and to its group.
const sameSignal = 300 * time.Millisecond

// untilSignal returns a context that ends at the first SIGINT or SIGTERM. A second
// one ends the process without waiting for anything.
func untilSignal(parent context.Context, errOut io.Writer) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(parent)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	finished := make(chan struct{})
	go func() {
		var first time.Time
		for {
			select {
			case <-finished:
				return
			case <-signals:
			}
			cancel()
			switch {
			case first.IsZero():
				first = time.Now()
			case time.Since(first) > sameSignal:
				fmt.Fprintln(errOut, "mesh: second signal, ending at once")
				os.Exit(exitBad)
			}
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(finished)
		cancel()
	}
}
