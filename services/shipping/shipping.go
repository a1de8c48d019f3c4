// Package shipping is the shipping service: one shipment per order, handed to a carrier
// and delivered by it.
//
// It promises that an order has at most one parcel, whatever is repeated and whatever
// process dies, that a cancelled shipment is never sent, and that a delivery that the
// carrier reports is noted once.
package shipping

import (
	"context"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/config"
	"github.com/ordermesh/ordermesh/bus/eventstore"
	"github.com/ordermesh/ordermesh/bus/policy"
	"github.com/ordermesh/ordermesh/bus/rpc"
	"github.com/ordermesh/ordermesh/bus/view"
	"github.com/ordermesh/ordermesh/contracts/shipping"
	"github.com/ordermesh/ordermesh/services/shipping/domain"
	shipmentview "github.com/ordermesh/ordermesh/services/shipping/view"
)

// Config of the service. The zero value works.
type Config struct {
	Carrier  Carrier                      // nil is the sandbox's carrier, over the wire
	Settings func() shipping.Settings     // asked for each shipment; nil are the defaults
	Policies *policy.Set                  // how the carrier is called; nil is as built in
	Cache    int                          // shipments kept in memory; 0 for the event store's default
	View     view.Store[shipmentview.Row] // nil is one in memory
}

// Service answers the methods of shipping.
type Service struct {
	server *rpc.Server
	depot  *depot
	listed *listing
}

// New builds the service on a connection and starts nothing.
func New(conn *bus.Conn, cfg Config) (*Service, error) {
	server, err := rpc.NewServer(conn, shipping.Descriptor)
	if err != nil {
		return nil, err
	}
	if cfg.Policies == nil {
		cfg.Policies = policy.NewSet(conn, shipping.Descriptor)
	}
	if cfg.Carrier == nil {
		cfg.Carrier = newSandboxCarrier(conn, cfg.Policies)
	}
	listed, err := newListing(conn, cfg.View)
	if err != nil {
		return nil, err
	}
	d := newDepot(eventstore.NewJetStreamLog(conn, shipping.Events.Info().Stream), cfg)
	s := &Service{server: server, depot: d, listed: listed}
	rpc.Handle(server, shipping.Create, d.create)
	rpc.Handle(server, shipping.Cancel, d.cancel)
	rpc.Handle(server, shipping.Get, d.get)
	rpc.Handle(server, shipping.List, s.list)
	rpc.Handle(server, shipping.Track, d.track)
	rpc.Handle(server, shipping.Parcels, d.parcels)
	rpc.Handle(server, shipping.Deliver, d.deliver)
	return s, nil
}

// Run serves until ctx ends, then drains.
func (s *Service) Run(ctx context.Context) error { return bus.Run(ctx, s.server, s.listed) }

// Ready is closed once the service answers. The list may still be catching up; it says
// how far behind it is.
func (s *Service) Ready() <-chan struct{} { return s.server.Ready() }

// depot is the service without its wire.
type depot struct {
	shipments *eventstore.Entity[domain.Shipment, domain.Command, shipping.Event]
	carrier   Carrier
	settings  func() shipping.Settings
}

func newDepot(log eventstore.Log, cfg Config) *depot {
	opts := []eventstore.Option{eventstore.WithSchema(domain.Schema)}
	if cfg.Cache > 0 {
		opts = append(opts, eventstore.WithCache(cfg.Cache))
	}
	if cfg.Settings == nil {
		cfg.Settings = config.Fixed(config.Defaults[shipping.Settings]())
	}
	return &depot{
		shipments: eventstore.NewEntity(log, shipping.Events, domain.Decide, domain.Evolve, opts...),
		carrier:   cfg.Carrier, settings: cfg.Settings,
	}
}
