package rpc

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/ordermesh/ordermesh/bus/telemetry"
)

const (
	flushTimeout = 5 * time.Second
	grace        = time.Second // for what has been told to end at once
)

// Run serves until ctx ends, then stops taking work, finishes what it accepted and
// flushes the replies. It returns nil after a clean drain, and an error when a
// subject was refused, the connection was closed under it or work did not end
// within the drain time-out.
func (s *Server) Run(ctx context.Context) error {
	err := errors.New("rpc: a server runs once")
	s.running.Do(func() { err = s.serveAll(ctx) })
	return err
}

func (s *Server) serveAll(ctx context.Context) error {
	if err := s.check(); err != nil {
		return err
	}
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	s.work, s.started = work, time.Now().UTC()
	defer s.gauge()()
	s.pool.start()

	subs := &subscriptions{nc: s.conn.NATS(), broken: make(chan error, 1)}
	defer s.conn.WatchDenied(subs.denied)()
	err := s.subscribe(subs)
	if err == nil {
		close(s.ready)
		s.tel.Logger.Info("serving", telemetry.KeyCount, len(s.endpoints))
		select {
		case <-ctx.Done():
		case err = <-subs.broken:
		}
	}
	return errors.Join(err, s.stop(subs, cancel))
}

// subscribe joins the queue group for every method, listens on $SRV and waits until
// the NATS server has seen it all.
func (s *Server) subscribe(subs *subscriptions) error {
	for _, e := range s.endpoints {
		if err := subs.queue(e.subject, s.desc.Name, s.pool.in); err != nil {
			return err
		}
	}
	subjects, err := s.monitorSubjects()
	if err != nil {
		return err
	}
	requests := make(chan *nats.Msg, monitorBacklog)
	for _, subject := range subjects {
		if err := subs.channel(subject, requests); err != nil {
			return err
		}
	}
	subs.monitors.Go(func() { s.monitor(requests) })
	subs.requests = requests
	return subs.confirm()
}

// stop drains: no new requests, then the accepted ones, then the replies.
func (s *Server) stop(subs *subscriptions, cancel context.CancelFunc) error {
	giveUp, stop := context.WithTimeout(context.Background(), s.drain)
	defer stop()
	if !subs.drain(giveUp.Done()) {
		return fmt.Errorf("rpc: the subscriptions of service %s did not end within %v", s.desc.Name, s.drain)
	}
	close(s.pool.in)
	idle := waitChan(&s.pool.wg)
	select {
	case <-idle:
	case <-giveUp.Done():
		cancel()
		select {
		case <-idle:
		case <-time.After(grace):
			return fmt.Errorf("rpc: %d requests of service %s did not end within %v", s.pool.outstanding(), s.desc.Name, s.drain)
		}
	}
	if err := s.conn.NATS().FlushTimeout(flushTimeout); err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
		return fmt.Errorf("rpc: flush the last replies: %w", err)
	}
	return nil
}

// gauge exports how many requests are waiting or running; the result takes it back.
func (s *Server) gauge() (remove func()) {
	g := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: telemetry.Namespace, Name: "rpc_server_outstanding", Help: "Requests that wait or run.",
		ConstLabels: prometheus.Labels{"service": s.desc.Name, "instance": s.id},
	}, func() float64 { return float64(s.pool.outstanding()) })
	registry := s.tel.Registry
	registry.MustRegister(g)
	return func() { registry.Unregister(g) }
}
