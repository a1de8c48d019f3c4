// Package catalog is the catalog service: products with names and prices.
//
// Products are read from memory, then from the Redis that instances share, then from the
// event store; each instance hears of every change and drops what it has outdated. What
// is put is decided by the event store alone.
package catalog

import (
	"context"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/cache"
	"github.com/ordermesh/ordermesh/bus/eventstore"
	"github.com/ordermesh/ordermesh/bus/policy"
	"github.com/ordermesh/ordermesh/bus/rpc"
	"github.com/ordermesh/ordermesh/bus/view"
	"github.com/ordermesh/ordermesh/contracts/catalog"
	"github.com/ordermesh/ordermesh/services/catalog/domain"
	catalogview "github.com/ordermesh/ordermesh/services/catalog/view"
)

// Config of the service. The zero value works.
type Config struct {
	Cache    int                         // products kept in memory for decisions; 0 for the event store's default
	View     view.Store[catalogview.Row] // nil is one in memory
	Settings func() catalog.Settings     // asked for each product that is read; nil are the defaults
	Remote   cache.Remote                // where instances share what they have read; nil is nowhere
	Policies *policy.Set                 // how that is called; nil is as built in
}

// Service answers the methods of the catalog.
type Service struct {
	products *eventstore.Entity[domain.Product, domain.Put, catalog.Event]
	reading  *reading
	listed   *listing
	server   *rpc.Server
}

// New builds the service on a connection and starts nothing.
func New(conn *bus.Conn, cfg Config) (*Service, error) {
	server, err := rpc.NewServer(conn, catalog.Descriptor)
	if err != nil {
		return nil, err
	}
	opts := []eventstore.Option{eventstore.WithSchema(domain.Schema)}
	if cfg.Cache > 0 {
		opts = append(opts, eventstore.WithCache(cfg.Cache))
	}
	listed, err := newListing(conn, cfg.View)
	if err != nil {
		return nil, err
	}
	log := eventstore.NewJetStreamLog(conn, catalog.Events.Info().Stream)
	products := eventstore.NewEntity(log, catalog.Events, domain.Decide, domain.Evolve, opts...)
	read, err := newReading(conn, products, cfg)
	if err != nil {
		return nil, err
	}
	s := &Service{products: products, reading: read, listed: listed, server: server}
	rpc.Handle(server, catalog.Put, s.put)
	rpc.Handle(server, catalog.Get, s.get)
	rpc.Handle(server, catalog.Find, s.find)
	rpc.Handle(server, catalog.List, s.list)
	return s, nil
}

// Run serves until ctx ends, then drains.
func (s *Service) Run(ctx context.Context) error {
	defer s.reading.Close()
	return bus.Run(ctx, s.server, s.listed, s.reading.feed)
}

// Ready is closed once the service answers. The list may still be catching up; it says
// how far behind it is.
func (s *Service) Ready() <-chan struct{} { return s.server.Ready() }
