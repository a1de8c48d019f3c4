// Package orders is the orders service: it places orders at the catalog's prices, shows,
// cancels and refunds them, has people decide about some, and runs the flows of an
// order's life: the checkout that takes it to the carrier, the watch over its delivery,
// its refunds, and every night the comparison of all orders with the outside books.
//
// It promises that an order that was answered is stored and will be checked out, that
// the same request under the same id or idempotency key gives one order, that a cancel
// before dispatch always wins, that no more is refunded than was paid, and that no
// payment token is ever stored: it is sealed for the payments service at once.
//
// The order's own commands decide, flows only carry out: a signal wakes a checkout, and
// what it then does is what the order says. Everything that follows from an event is
// started by one durable consumer of the orders' events, never by an endpoint, so that
// nothing is lost between the two.
//
// It is not for prices, stock or money: it asks those who own them.
package orders

import (
	"context"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/event"
	"github.com/ordermesh/ordermesh/bus/eventstore"
	"github.com/ordermesh/ordermesh/bus/flow"
	"github.com/ordermesh/ordermesh/bus/rpc"
	"github.com/ordermesh/ordermesh/contracts/orders"
	"github.com/ordermesh/ordermesh/contracts/shipping"
	"github.com/ordermesh/ordermesh/services/orders/domain"
	ordersview "github.com/ordermesh/ordermesh/services/orders/view"
)

// entity is the store of orders.
type entity = eventstore.Entity[domain.Order, domain.Command, orders.Event]

func newEntity(log eventstore.Log, opts ...eventstore.Option) *entity {
	opts = append(opts, eventstore.WithSchema(domain.Schema))
	return eventstore.NewEntity(log, orders.Events, domain.Decide, domain.Evolve, opts...)
}

// Service answers the methods of orders and runs their checkouts.
type Service struct {
	cfg     Config
	orders  *entity
	client  *rpc.Client
	sealer  *sealer
	all     ordersview.Store // kept up to date by listed
	listed  *listing
	rules   *acceptance
	flows   *flow.Client
	defined definitions

	unwatched unwatched

	runners []bus.Runner
	waits   []<-chan struct{}
	ready   chan struct{}
}

// New builds the service on a connection and starts nothing.
func New(conn *bus.Conn, cfg Config) (*Service, error) {
	var opts []eventstore.Option
	if cfg.Cache > 0 {
		opts = append(opts, eventstore.WithCache(cfg.Cache))
	}
	log := eventstore.NewJetStreamLog(conn, orders.Events.Info().Stream)
	cfg = cfg.withDefaults(conn)
	client := rpc.NewClient(conn, rpc.WithPolicies(cfg.Policies))
	s := &Service{
		cfg:    cfg,
		orders: newEntity(log, opts...),
		client: client,
		sealer: newSealer(client),
		all:    cfg.View,
		flows:  flow.NewClient(conn, orders.Descriptor.Name),
		ready:  make(chan struct{}),
	}
	for _, add := range []func(*bus.Conn) error{s.addListing, s.addRules, s.addServer, s.addWorker, s.addFollower, s.addDeliveries} {
		if err := add(conn); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (s *Service) addListing(conn *bus.Conn) (err error) {
	s.listed, err = newListing(conn, s.all)
	s.runners = append(s.runners, s.listed)
	return err
}

func (s *Service) addRules(conn *bus.Conn) (err error) {
	s.rules, err = newAcceptance(conn, s.all, s.listed)
	return err
}

func (s *Service) addServer(conn *bus.Conn) error {
	server, err := rpc.NewServer(conn, orders.Descriptor)
	if err != nil {
		return err
	}
	rpc.Handle(server, orders.Place, s.place)
	rpc.Handle(server, orders.Get, s.get)
	rpc.Handle(server, orders.List, s.list)
	rpc.Handle(server, orders.Report, s.report)
	rpc.Handle(server, orders.Cancel, s.cancel)
	rpc.Handle(server, orders.Approve, s.approve)
	rpc.Handle(server, orders.Reject, s.reject)
	rpc.Handle(server, orders.Refund, s.refund)
	s.add(server, server.Ready())
	return nil
}

// nightly is the schedule of reconciliations.
const nightly = "reconcile-nightly"

func (s *Service) addWorker(conn *bus.Conn) error {
	t := conn.Telemetry()
	firms := &ledgers{orders: s.orders, listed: s.listed, client: s.client}
	s.defined = define(s.orders, partners{s.client}, newAlarms(t), firms, newReports(t))
	worker, err := flow.NewWorker(conn, orders.Descriptor.Name,
		s.defined.all(),
		flow.WithSchedules(flow.Cron(nightly, s.cfg.Settings().ReconcileAt, s.defined.reconcile, reconcileInput{}, flow.Skip)),
		flow.WithKeep(s.cfg.Settings().FlowKeep), flow.WithKeepResult(s.cfg.Settings().FlowResult))
	if err != nil {
		return err
	}
	s.add(worker, worker.Ready())
	return nil
}

// followed are the types of the events that ask for something; see Service.follow.
var followed = []string{
	"order.placed.v1", "order.approved.v1", "order.cancelled.v1", "order.shipped.v1", "order.delivered.v1", "order.refund_requested.v1",
}

func (s *Service) addFollower(conn *bus.Conn) error {
	consumer, err := event.NewConsumer(conn, orders.Events, orders.CheckoutConsumer,
		event.Types(followed...), event.WithAckWait(orders.ReactionWait))
	if err != nil {
		return err
	}
	s.add(reaction(func(ctx context.Context) error { return consumer.Run(ctx, s.follow) }), consumer.Ready())
	return nil
}

func (s *Service) addDeliveries(conn *bus.Conn) error {
	consumer, err := event.NewConsumer(conn, shipping.Events, orders.DeliveredConsumer,
		event.Types("shipment.delivered.v1"), event.WithAckWait(orders.ReactionWait))
	if err != nil {
		return err
	}
	s.add(reaction(func(ctx context.Context) error { return consumer.Run(ctx, s.noteDelivery) }), consumer.Ready())
	return nil
}

func (s *Service) add(r bus.Runner, ready <-chan struct{}) {
	s.runners = append(s.runners, r)
	s.waits = append(s.waits, ready)
}

// reaction makes a runner of a function.
type reaction func(ctx context.Context) error

func (r reaction) Run(ctx context.Context) error { return r(ctx) }

// Run serves until ctx ends, then drains. It begins once the rules about new orders are
// known: no order is accepted without them.
func (s *Service) Run(ctx context.Context) error {
	return bus.Run(ctx, s.rules.document, reaction(func(ctx context.Context) error {
		select {
		case <-s.rules.document.Ready():
			return bus.Run(ctx, append(s.runners, reaction(s.announce))...)
		case <-ctx.Done():
			return nil
		}
	}))
}

// announce closes ready once everything takes work.
func (s *Service) announce(ctx context.Context) error {
	for _, ready := range s.waits {
		select {
		case <-ready:
		case <-ctx.Done():
			return nil
		}
	}
	close(s.ready)
	return nil
}

// Ready is closed once the service answers and its checkouts run. The list may still
// be catching up; it says how far behind it is.
func (s *Service) Ready() <-chan struct{} { return s.ready }
