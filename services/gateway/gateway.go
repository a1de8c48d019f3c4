// Package gateway is the front door: it answers HTTP with what the services answer on NATS.
//
// Its routes follow from the contracts (contract.HTTP); what a service says is passed on as
// it is, errors as application/problem+json with the same code, reason and field. It is not
// for decisions: it knows no order, keeps nothing that matters, and any number of instances
// may stand behind a balancer.
//
// It promises:
//
//   - a request that is not understood is refused with the field or header that is to blame,
//     and nothing is sent to a service;
//   - an order that was answered 201 exists, and the same Idempotency-Key with the same body
//     is the same order, through whichever instance, and over NATS: the gateway names nobody
//     as the caller as long as it knows nobody, and so do calls without Mesh-Actor;
//   - a command is repeated under one command id until its time is over while its service
//     cannot answer, as during the election of a leader;
//   - bodies, headers, times and the number of requests are bounded, and what is refused for
//     its number is told when to come back;
//   - when its context ends, running requests are answered before Run returns.
//
// # Idempotency
//
// The id of an order is derived from caller, method and key (contracts/orders.DeriveID). A
// client that is gone, or was told 503 or 504, sends the same request again and gets what
// became of it. A request without a key that changes something gets a command id of its own,
// so that the gateway's own repeats count once.
//
// # Bodies
//
// A body needs Content-Length: of two lengths, that one and that of chunks, one may be a lie,
// so that chunked requests are refused. Gzip is read and bounded by what comes out of it.
package gateway

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/config"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/policy"
	"github.com/ordermesh/ordermesh/bus/rpc"
	"github.com/ordermesh/ordermesh/bus/telemetry"
	"github.com/ordermesh/ordermesh/contracts/gateway"
)

// Config of the gateway. The zero value works.
type Config struct {
	Settings func() gateway.Settings // asked for each request; nil are the defaults
	Policies *policy.Set             // how services are called; nil is as built in

	// Identify says who calls, or why nobody may: an unauthenticated or forbidden error. Nil
	// takes every caller for nobody in particular, as services take calls without Mesh-Actor.
	Identify func(*http.Request) (contract.Actor, error)
}

// Service is the gateway: an http.Handler for everything below [gateway.Prefix].
type Service struct {
	cfg     Config
	tel     *telemetry.Telemetry
	client  *rpc.Client
	mux     *http.ServeMux
	routes  []*route
	metrics metrics
	ready   chan struct{}

	inFlight atomic.Int64
	large    atomic.Int64
	draining atomic.Bool // Run's context has ended

	mu     sync.Mutex
	closed bool            // nothing new is taken
	open   sync.WaitGroup  // requests that were taken
	work   context.Context //nolint:containedctx // its end is that of every request
	cancel context.CancelFunc
}

// New builds the gateway on a connection and starts nothing.
func New(conn *bus.Conn, cfg Config) (*Service, error) {
	if cfg.Settings == nil {
		cfg.Settings = config.Fixed(config.Defaults[gateway.Settings]())
	}
	if cfg.Policies == nil {
		cfg.Policies = policy.NewSet(conn, gateway.Descriptor)
	}
	if cfg.Identify == nil {
		cfg.Identify = func(*http.Request) (contract.Actor, error) { return contract.Actor{}, nil }
	}
	s := &Service{
		cfg: cfg, tel: conn.Telemetry(), client: rpc.NewClient(conn, rpc.WithPolicies(cfg.Policies)),
		metrics: newMetrics(conn.Telemetry()), ready: make(chan struct{}),
	}
	s.work, s.cancel = context.WithCancel(context.Background())
	s.addRoutes(gateway.Descriptor.Calls)
	return s, nil
}

// Ready is closed once requests are taken.
func (s *Service) Ready() <-chan struct{} { return s.ready }

// drainTimeout bounds how long Run waits for running requests; then their contexts end, and
// they are answered with unavailable.
const drainTimeout = 8 * time.Second

// Run takes requests until ctx ends; then those that run, and those that come while the
// setting gateway.linger lasts, are answered. It opens no port.
func (s *Service) Run(ctx context.Context) error {
	close(s.ready)
	<-ctx.Done()
	s.draining.Store(true)
	giveUp := time.NewTimer(drainTimeout)
	defer giveUp.Stop()
	rest(s.cfg.Settings().Linger)
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	done := make(chan struct{})
	go func() {
		s.open.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-giveUp.C:
		s.cancel()
		<-done
	}
	s.cancel()
	return nil
}

func rest(d time.Duration) {
	if d > 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		<-timer.C
	}
}

// errDraining refuses what comes after the end.
var errDraining = contract.NewError(contract.Unavailable, "draining", "this instance is being stopped: ask again, another one answers")

// errFull refuses what is too much at the same time.
var errFull = contract.NewError(contract.Unavailable, "gateway_full", "there are too many requests at the same time; try again later")

// retrySoon is when to come back to an instance that is full or gone.
const retrySoon = time.Second

// enter counts a request in; leave must be called if there is no error.
func (s *Service) enter(large bool) (leave func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	settings := s.cfg.Settings()
	switch {
	case s.closed:
		return nil, errDraining.After(retrySoon)
	case s.inFlight.Load() >= int64(settings.Concurrent), large && s.large.Load() >= int64(settings.Large):
		return nil, errFull.After(retrySoon)
	}
	bulk := int64(0)
	if large {
		bulk = 1
	}
	s.open.Add(1)
	s.inFlight.Add(1)
	s.large.Add(bulk)
	s.metrics.inFlight.Inc()
	return func() {
		s.inFlight.Add(-1)
		s.large.Add(-bulk)
		s.metrics.inFlight.Dec()
		s.open.Done()
	}, nil
}

// callAgain is how long an attempt must have taken for its time-out to be the attempt's own
// and not the request's.
const callAgain = time.Second

// call asks a service, and asks again while there is time: an attempt that its policy has cut
// short says nothing about the request's own time.
func (s *Service) call(ctx context.Context, m contract.MethodInfo, body []byte, command string) ([]byte, error) {
	var opts []rpc.CallOption
	if deadline, ok := ctx.Deadline(); ok {
		opts = append(opts, rpc.WithTimeout(time.Until(deadline)))
	}
	if command != "" {
		opts = append(opts, rpc.WithCommandID(command))
	}
	for {
		began := time.Now()
		reply, err := rpc.CallRaw(ctx, s.client, m, body, opts...)
		if err == nil || contract.AsError(err).Code != contract.Deadline {
			return reply, err
		}
		deadline, _ := ctx.Deadline()
		if ctx.Err() != nil || time.Since(began) < callAgain || time.Until(deadline) < callAgain {
			return nil, err
		}
	}
}
