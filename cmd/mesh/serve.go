package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/spf13/pflag"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/telemetry"
)

// lastSteps is what the end of the HTTP and NATS servers may take of stopTimeout.
const lastSteps = 500 * time.Millisecond

// errStopping bounds the end of a process that was asked to stop.
var errStopping = fmt.Errorf("services did not stop within %s", stopTimeout)

// serveUntilDone runs the services until ctx ends or one of them fails. Once they
// run, started is called beside them; its error ends them. After the end of ctx the
// services get stopTimeout to finish what runs.
func serveUntilDone(ctx context.Context, h *health, services []*hosted, started func(context.Context) error) error {
	run, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		all := append(runners(services), runner(func(ctx context.Context) error {
			if err := started(ctx); err != nil && !errors.Is(err, context.Canceled) {
				return err
			}
			<-ctx.Done()
			return nil
		}))
		done <- bus.Run(run, all...)
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	h.draining.Store(true)
	limit, stop := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout-lastSteps)
	defer stop()
	select {
	case err := <-done:
		return err
	case <-limit.Done():
		return errStopping
	}
}

// runner adapts a function to bus.Runner.
type runner func(context.Context) error

// Run calls the function.
func (r runner) Run(ctx context.Context) error { return r(ctx) }

// newTelemetry logs to standard error.
func newTelemetry(c *cli, level slog.Level) (*telemetry.Telemetry, error) {
	return telemetry.New(telemetry.Config{Writer: c.errOut, Level: level})
}

// logFlag adds --log, the least important level that is logged.
func logFlag(f *pflag.FlagSet, level *slog.Level) {
	f.TextVar(level, "log", slog.LevelInfo, "least `level` to log: debug, info, warn or error")
}
