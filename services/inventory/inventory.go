// Package inventory is the inventory service: the stock of each SKU in one warehouse
// and the reservation of each order.
//
// It promises that the sum of what orders hold and what they bought never exceeds
// what there was, and that a reservation, once closed, never holds anything again.
// It is not for several warehouses and not for back orders.
//
// # How a reservation of several SKUs stays whole
//
// There is no transaction over several SKUs. The order's reservation is an entity of
// its own and decides alone: opened with its lines, then held or refused; released,
// committed or returned. The stock of each SKU follows, in the order of the SKUs, by
// compare-and-append. Whatever closes a reservation is written there first, so a
// release and a commit that run at the same time agree on which of them it was.
//
// Each method can be repeated and takes up where a crash left off: it reads from the
// reservation what has to be true of the stock and makes it true, line by line; where
// it is true already, nothing is written. A hold that comes after its reservation was
// closed is refused by a mark that the release leaves on every line; should so many
// orders have been closed since that the stock has forgotten the mark, the reservation
// itself refuses to be held and the late hold is given back.
//
// # Reading and deciding
//
// The stock that is answered comes from memory, then from the Redis that instances share,
// then from the event store; each instance hears of every change and drops what it has
// outdated. What is reserved, sold and adjusted is decided by the event store alone.
package inventory

import (
	"context"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/cache"
	"github.com/ordermesh/ordermesh/bus/eventstore"
	"github.com/ordermesh/ordermesh/bus/policy"
	"github.com/ordermesh/ordermesh/bus/rpc"
	"github.com/ordermesh/ordermesh/bus/view"
	"github.com/ordermesh/ordermesh/contracts/inventory"
	"github.com/ordermesh/ordermesh/services/inventory/domain"
	stockview "github.com/ordermesh/ordermesh/services/inventory/view"
)

// Config of the service. The zero value works.
type Config struct {
	Cache    int                       // SKUs, and reservations, kept in memory for decisions; 0 for the event store's default
	View     view.Store[stockview.Row] // of the stock; nil is one in memory
	Settings func() inventory.Settings // asked for each stock that is read; nil are the defaults
	Remote   cache.Remote              // where instances share what they have read; nil is nowhere
	Policies *policy.Set               // how that is called; nil is as built in
}

// Service answers the methods of inventory.
type Service struct {
	server    *rpc.Server
	warehouse *warehouse
	reading   *reading
	listed    *listing
}

// New builds the service on a connection and starts nothing.
func New(conn *bus.Conn, cfg Config) (*Service, error) {
	server, err := rpc.NewServer(conn, inventory.Descriptor)
	if err != nil {
		return nil, err
	}
	log := eventstore.NewJetStreamLog(conn, inventory.StockEvents.Info().Stream)
	w := newWarehouse(log, cfg)
	listed, err := newListing(conn, cfg.View)
	if err != nil {
		return nil, err
	}
	read, err := newReading(conn, w, cfg)
	if err != nil {
		return nil, err
	}
	s := &Service{server: server, warehouse: w, reading: read, listed: listed}
	rpc.Handle(server, inventory.Adjust, s.adjust)
	rpc.Handle(server, inventory.Get, s.get)
	rpc.Handle(server, inventory.List, s.list)
	rpc.Handle(server, inventory.Reserve, w.reserve)
	rpc.Handle(server, inventory.Release, w.release)
	rpc.Handle(server, inventory.Commit, w.commit)
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

// warehouse is the service without its wire.
type warehouse struct {
	stock        *eventstore.Entity[domain.Stock, domain.StockCommand, inventory.StockEvent]
	reservations *eventstore.Entity[domain.Reservation, domain.ReservationCommand, inventory.ReservationEvent]
}

func newWarehouse(log eventstore.Log, cfg Config) *warehouse {
	options := func(schema int) []eventstore.Option {
		opts := []eventstore.Option{eventstore.WithSchema(schema)}
		if cfg.Cache > 0 {
			opts = append(opts, eventstore.WithCache(cfg.Cache))
		}
		return opts
	}
	return &warehouse{
		stock: eventstore.NewEntity(log, inventory.StockEvents, domain.DecideStock, domain.EvolveStock,
			options(domain.StockSchema)...),
		reservations: eventstore.NewEntity(log, inventory.ReservationEvents, domain.DecideReservation, domain.EvolveReservation,
			options(domain.ReservationSchema)...),
	}
}
