// Package payments is the payments service: one payment per order at a payment
// provider.
//
// It promises that an order is charged at most once, whatever is repeated and whatever
// process dies: the key under which the provider charges follows from the order and is
// never made anew, and after a time-out the provider is asked what became of the key
// before anything else is done. A void is made at the provider first, which makes a
// later charge impossible there; so an authorization that comes too late leaves no
// money reserved.
//
// Tokens reach it sealed (contracts/sealed); it opens them for the provider and stores
// none.
package payments

import (
	"context"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/config"
	"github.com/ordermesh/ordermesh/bus/eventstore"
	"github.com/ordermesh/ordermesh/bus/policy"
	"github.com/ordermesh/ordermesh/bus/rpc"
	"github.com/ordermesh/ordermesh/bus/view"
	"github.com/ordermesh/ordermesh/contracts/payments"
	"github.com/ordermesh/ordermesh/services/payments/domain"
	paymentview "github.com/ordermesh/ordermesh/services/payments/view"
)

// Config of the service. The zero value works.
type Config struct {
	Provider Provider                    // nil is the sandbox's provider, over the wire
	Settings func() payments.Settings    // asked for each call of the provider; nil are the defaults
	Policies *policy.Set                 // how the provider is called; nil is as built in
	Cache    int                         // payments kept in memory; 0 for the event store's default
	View     view.Store[paymentview.Row] // nil is one in memory
}

// Service answers the methods of payments.
type Service struct {
	server *rpc.Server
	desk   *desk
	listed *listing
	keys   *keyring
}

// New builds the service on a connection and starts nothing.
func New(conn *bus.Conn, cfg Config) (*Service, error) {
	server, err := rpc.NewServer(conn, payments.Descriptor)
	if err != nil {
		return nil, err
	}
	if cfg.Policies == nil {
		cfg.Policies = policy.NewSet(conn, payments.Descriptor)
	}
	if cfg.Provider == nil {
		cfg.Provider = newSandboxProvider(conn, cfg.Policies)
	}
	keys := newKeyring(conn)
	listed, err := newListing(conn, cfg.View)
	if err != nil {
		return nil, err
	}
	d := newDesk(eventstore.NewJetStreamLog(conn, payments.Events.Info().Stream), keys, cfg)
	s := &Service{server: server, desk: d, listed: listed, keys: keys}
	rpc.Handle(server, payments.Authorize, d.authorize)
	rpc.Handle(server, payments.Capture, d.capture)
	rpc.Handle(server, payments.Void, d.void)
	rpc.Handle(server, payments.Refund, d.refund)
	rpc.Handle(server, payments.Get, d.get)
	rpc.Handle(server, payments.List, s.list)
	rpc.Handle(server, payments.Charges, d.charges)
	rpc.Handle(server, payments.Key, keys.public)
	return s, nil
}

// Run loads or makes the sealing key and serves until ctx ends, then drains.
func (s *Service) Run(ctx context.Context) error {
	if err := s.keys.load(ctx); err != nil {
		if ctx.Err() != nil {
			return nil //nolint:nilerr // the end of ctx has caused it
		}
		return err
	}
	return bus.Run(ctx, s.server, s.listed)
}

// Ready is closed once the service answers. The list may still be catching up; it says
// how far behind it is.
func (s *Service) Ready() <-chan struct{} { return s.server.Ready() }

// desk is the service without its wire.
type desk struct {
	payments *eventstore.Entity[domain.Payment, domain.Command, payments.Event]
	provider Provider
	keys     opener
	settings func() payments.Settings
}

// opener turns a payment reference back into the token.
type opener interface {
	open(reference, orderID string) (string, error)
}

func newDesk(log eventstore.Log, keys opener, cfg Config) *desk {
	opts := []eventstore.Option{eventstore.WithSchema(domain.Schema)}
	if cfg.Cache > 0 {
		opts = append(opts, eventstore.WithCache(cfg.Cache))
	}
	if cfg.Settings == nil {
		cfg.Settings = config.Fixed(config.Defaults[payments.Settings]())
	}
	return &desk{
		payments: eventstore.NewEntity(log, payments.Events, domain.Decide, domain.Evolve, opts...),
		provider: cfg.Provider, keys: keys, settings: cfg.Settings,
	}
}
