package rpc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nuid"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/telemetry"
)

// Defaults of a server; each has an option.
const (
	DefaultConcurrency  = 256
	DefaultQueue        = 1024
	DefaultDrainTimeout = 8 * time.Second
)

// Server answers the methods of one service. Make it with [NewServer], add its
// methods with [Handle], then Run it once.
type Server struct {
	conn      *bus.Conn
	tel       *telemetry.Telemetry
	desc      contract.Service
	id        string
	epoch     time.Time // of clock
	started   time.Time
	endpoints []*endpoint
	bySubject map[string]*endpoint // endpoints again; fixed when Run begins
	mistakes  []error              // made with Handle, reported by Run
	pool      *pool
	metrics   serverMetrics
	drain     time.Duration
	ready     chan struct{}
	work      context.Context //nolint:containedctx // set by Run: the parent of every request's context
	running   sync.Once
}

type serverConfig struct {
	concurrency, queue int
	drain              time.Duration
}

// ServerOption changes a default of a server.
type ServerOption func(*serverConfig) error

// WithConcurrency bounds how many requests run at the same time. Handlers that wait for
// others may be many; where they compute, as many as there are processors are enough: with
// more of them everything is late.
func WithConcurrency(n int) ServerOption {
	return func(c *serverConfig) error {
		if n < 1 {
			return fmt.Errorf("rpc: concurrency %d: at least 1", n)
		}
		c.concurrency = n
		return nil
	}
}

// WithQueue bounds how many requests wait for a free goroutine. More are refused
// with exhausted.
func WithQueue(n int) ServerOption {
	return func(c *serverConfig) error {
		if n < 0 {
			return fmt.Errorf("rpc: queue %d: at least 0", n)
		}
		c.queue = n
		return nil
	}
}

// WithDrainTimeout bounds how long Run waits for running requests after its
// context has ended; then their contexts end, too.
func WithDrainTimeout(d time.Duration) ServerOption {
	return func(c *serverConfig) error {
		if d <= 0 {
			return fmt.Errorf("rpc: drain time-out %v: more than 0", d)
		}
		c.drain = d
		return nil
	}
}

// NewServer prepares a server for the methods that desc.Serves names. It starts
// nothing.
func NewServer(conn *bus.Conn, desc contract.Service, opts ...ServerOption) (*Server, error) {
	if !contract.ValidID(desc.Name) {
		return nil, fmt.Errorf("rpc: service name %q cannot be used", desc.Name)
	}
	if len(desc.Serves) == 0 {
		return nil, fmt.Errorf("rpc: service %s serves no methods", desc.Name)
	}
	cfg := serverConfig{concurrency: DefaultConcurrency, queue: DefaultQueue, drain: DefaultDrainTimeout}
	for _, opt := range opts {
		if err := opt(&cfg); err != nil {
			return nil, err
		}
	}
	s := &Server{
		conn: conn, tel: conn.Telemetry(), desc: desc, bySubject: map[string]*endpoint{}, id: nuid.Next(), drain: cfg.drain, epoch: time.Now(),
		metrics: newServerMetrics(conn.Telemetry()), ready: make(chan struct{}),
	}
	s.pool = newPool(cfg.concurrency, cfg.queue)
	s.pool.stamp, s.pool.run, s.pool.refuse, s.pool.clock = s.stamp, s.serve, s.refuse, s.clock
	return s, nil
}

// Handle lets h answer m. Call it before Run; a method that the descriptor does not
// name, or a second handler for one, makes Run fail.
//
// The handler's context carries the caller's deadline, the actor
// (telemetry.ActorFrom), the command id (telemetry.CommandFrom) and the trace; it
// ends when the handler returns. A *contract.Error crosses to the caller; any other
// error is logged here and becomes internal.
func Handle[Req, Resp any](s *Server, m contract.Method[Req, Resp], h func(ctx context.Context, req Req) (Resp, error)) {
	_, validates := any((*Req)(nil)).(contract.Validator)
	s.add(m.Info(), func(ctx context.Context, body []byte) ([]byte, error) {
		var req Req
		if err := contract.Unmarshal(body, &req); err != nil {
			return nil, err
		}
		if validates {
			if err := any(&req).(contract.Validator).Validate(); err != nil { //nolint:forcetypeassert,errcheck // asked above
				return nil, err
			}
		}
		resp, err := h(ctx, req)
		if err != nil {
			return nil, err
		}
		out, err := contract.Marshal(resp)
		if err != nil {
			return nil, fmt.Errorf("encode the reply: %w", err)
		}
		return out, nil
	})
}

// invocation decodes a request, runs the handler and encodes the reply.
type invocation func(ctx context.Context, body []byte) ([]byte, error)

func (s *Server) add(info contract.MethodInfo, invoke invocation) {
	subject := info.Subject()
	served := func(m contract.MethodInfo) bool { return m.Subject() == subject }
	if !slices.ContainsFunc(s.desc.Serves, served) {
		s.mistakes = append(s.mistakes, fmt.Errorf("rpc: %s is not among the methods that service %s serves", info.FullName(), s.desc.Name))
		return
	}
	if s.bySubject[subject] != nil {
		s.mistakes = append(s.mistakes, fmt.Errorf("rpc: %s has two handlers", info.FullName()))
		return
	}
	e := newEndpoint(info, invoke, s.metrics)
	s.endpoints = append(s.endpoints, e)
	s.bySubject[subject] = e
}

// check finds what is wrong with the set of handlers.
func (s *Server) check() error {
	mistakes := s.mistakes
	for _, m := range s.desc.Serves {
		if s.bySubject[m.Subject()] == nil {
			mistakes = append(mistakes, fmt.Errorf("rpc: %s has no handler", m.FullName()))
		}
	}
	return errors.Join(mistakes...)
}

// Ready is closed once every subscription stands at the NATS server.
func (s *Server) Ready() <-chan struct{} { return s.ready }

// ID identifies this instance on $SRV.
func (s *Server) ID() string { return s.id }
