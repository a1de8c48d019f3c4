// Package flows is the flows service: it starts, shows, lists and steers the flows of
// every service for people and programs outside, such as the nats CLI. It is not
// needed for flows to run, and runs none itself: the services that it is told about
// do.
//
// It promises that a start, a signal, a cancel or a retry that was answered is stored,
// that an id is started once and a signal id taken once, and that get answers what was
// stored when the request arrived. The list is a view in the memory of each instance:
// it says how far behind it is, and it keeps every flow that has not ended but only
// the latest of those that have.
package flows

import (
	"context"
	"fmt"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/flow"
	"github.com/ordermesh/ordermesh/bus/rpc"
	"github.com/ordermesh/ordermesh/contracts/flows"
)

// DefaultKeep is how many ended flows the list keeps.
const DefaultKeep = 50_000

// Config of the service.
type Config struct {
	Services []contract.Service // whose flows can be started and steered; those without flows are ignored

	// Definitions of the services' flows, by service, for checking what flows are started
	// with. Flows without one take every input and fail if it does not suit them.
	Definitions map[string][]flow.Registered

	Keep int // ended flows in the list; 0 for DefaultKeep
}

// Service answers the methods of the flows service.
type Service struct {
	targets  map[string]*target
	index    *index
	follower *flow.Follower
	server   *rpc.Server
}

// target is a service that runs flows.
type target struct {
	engine   *flow.Client
	versions map[string]int             // of its flows, by name
	inputs   map[string]flow.Registered // what those versions take, as far as that is known
}

func newTarget(conn *bus.Conn, d contract.Service, definitions []flow.Registered) *target {
	t := &target{engine: flow.NewClient(conn, d.Name), versions: map[string]int{}, inputs: map[string]flow.Registered{}}
	for _, f := range d.Flows {
		t.versions[f.Name] = max(f.Version, t.versions[f.Name])
	}
	for _, def := range definitions {
		if info := def.Info(); t.versions[info.Name] == info.Version {
			t.inputs[info.Name] = def
		}
	}
	return t
}

// has reports whether the service runs the flow: it does what it says, and keeps its
// schedules.
func (t *target) has(name string) bool { return t.versions[name] > 0 || name == flows.ScheduleFlow }

// New builds the service on a connection and starts nothing.
func New(conn *bus.Conn, cfg Config) (*Service, error) {
	if cfg.Keep < 0 {
		return nil, fmt.Errorf("flows: a list cannot keep %d ended flows", cfg.Keep)
	}
	if cfg.Keep == 0 {
		cfg.Keep = DefaultKeep
	}
	server, err := rpc.NewServer(conn, flows.Descriptor)
	if err != nil {
		return nil, err
	}
	s := &Service{targets: map[string]*target{}, index: newIndex(cfg.Keep), server: server}
	for _, d := range cfg.Services {
		if len(d.Flows) > 0 {
			s.targets[d.Name] = newTarget(conn, d, cfg.Definitions[d.Name])
		}
	}
	s.follower = flow.NewFollower(conn, contract.EveryService, s.index.take, s.index.clear)
	rpc.Handle(server, flows.Start, s.start)
	rpc.Handle(server, flows.Signal, s.signal)
	rpc.Handle(server, flows.Cancel, s.cancel)
	rpc.Handle(server, flows.Retry, s.retry)
	rpc.Handle(server, flows.Get, s.get)
	rpc.Handle(server, flows.List, s.list)
	return s, nil
}

// Run serves until ctx ends, then drains.
func (s *Service) Run(ctx context.Context) error { return bus.Run(ctx, s.server, s.follower) }

// Ready is closed once the service answers. The list may still be catching up; it says
// how far behind it is.
func (s *Service) Ready() <-chan struct{} { return s.server.Ready() }
