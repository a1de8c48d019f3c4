package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/telemetry"
)

// drainTimeout bounds how long a connection may take to flush at the end.
const drainTimeout = 3 * time.Second

// dialer connects a service as the user that is meant for it.
type dialer func(ctx context.Context, service string) (*bus.Conn, error)

// hosted is one service in this process, on a connection of its own.
type hosted struct {
	service
	profile profile
	backing *backings
	dial    dialer
	conn    atomic.Pointer[bus.Conn]
	front   atomic.Pointer[http.Handler] // of a service that answers HTTP itself, once it is built
	ready   chan struct{}
}

func hostAll(services []service, p profile, b *backings, dial dialer) []*hosted {
	list := make([]*hosted, len(services))
	for i, s := range services {
		list[i] = &hosted{service: s, profile: p, backing: b, dial: dial, ready: make(chan struct{})}
	}
	return list
}

// Run connects, prepares the streams, builds and serves until ctx ends, then drains the connection.
func (h *hosted) Run(ctx context.Context) error {
	conn, err := h.dial(ctx, h.desc.Name)
	if ctx.Err() != nil && err != nil {
		return nil // it was stopped before it began
	}
	if err != nil {
		return h.failed(ctx, err)
	}
	defer drain(ctx, conn)
	if err := h.profile.prepare(ctx, conn, h.desc); err != nil {
		return h.failed(ctx, err)
	}
	backing, err := h.backing.of(h.desc.Name)
	if err != nil {
		return h.failed(ctx, err)
	}
	svc, err := h.build(conn, backing, h.base)
	if err != nil {
		return h.failed(ctx, err)
	}
	h.conn.Store(conn)
	if front, ok := svc.(interface{ front() (http.Handler, bool) }); ok {
		if handler, ok := front.front(); ok {
			h.front.Store(&handler)
		}
	}
	return h.failed(ctx, h.serve(ctx, svc))
}

// drain flushes a connection whose work is done.
func drain(ctx context.Context, conn *bus.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	if err := conn.Drain(ctx); err != nil {
		conn.Telemetry().Logger.WarnContext(ctx, "the connection did not drain", telemetry.KeyError, err.Error())
	}
}

// serve runs the service and passes its word on that it is ready.
func (h *hosted) serve(ctx context.Context, svc serving) error {
	var passing sync.WaitGroup
	served := make(chan struct{})
	passing.Go(func() {
		select {
		case <-svc.Ready():
			close(h.ready)
		case <-served:
		}
	})
	err := svc.Run(ctx)
	close(served)
	passing.Wait()
	return err
}

// failed names the service in its error; the end of ctx is no failure.
func (h *hosted) failed(ctx context.Context, err error) error {
	if err == nil || (ctx.Err() != nil && errors.Is(err, context.Canceled)) {
		return nil
	}
	return fmt.Errorf("service %s: %w", h.desc.Name, err)
}

// check says why the service cannot be used now.
func (h *hosted) check() error {
	select {
	case <-h.ready:
	default:
		return errors.New("starting")
	}
	if conn := h.conn.Load(); conn == nil || !conn.NATS().IsConnected() {
		return errors.New("no connection to NATS")
	}
	return nil
}

// troubles lists what is wrong with parts of the service that does not keep it from
// answering.
func (h *hosted) troubles() []string {
	conn := h.conn.Load()
	if conn == nil {
		return nil
	}
	var list []string
	reports := conn.Reports()
	for _, name := range slices.Sorted(maps.Keys(reports)) {
		if part, ok := reports[name].(interface{ Trouble() string }); ok && part.Trouble() != "" {
			list = append(list, part.Trouble())
		}
	}
	return list
}

// runners turns the list into what bus.Run takes.
func runners(list []*hosted) []bus.Runner {
	out := make([]bus.Runner, len(list))
	for i, h := range list {
		out[i] = h
	}
	return out
}

// awaitReady waits until every service is ready, or ctx ends.
func awaitReady(ctx context.Context, list []*hosted) error {
	for _, h := range list {
		select {
		case <-h.ready:
		case <-ctx.Done():
			return fmt.Errorf("service %s is not ready: %w", h.desc.Name, context.Cause(ctx))
		}
	}
	return nil
}
