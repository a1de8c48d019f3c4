package main

import (
	"context"
	"net/http"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/config"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/contracts/catalog"
	"github.com/ordermesh/ordermesh/contracts/flows"
	"github.com/ordermesh/ordermesh/contracts/gateway"
	"github.com/ordermesh/ordermesh/contracts/inventory"
	"github.com/ordermesh/ordermesh/contracts/orders"
	"github.com/ordermesh/ordermesh/contracts/payments"
	"github.com/ordermesh/ordermesh/contracts/sandbox"
	"github.com/ordermesh/ordermesh/contracts/shipping"
	catalogservice "github.com/ordermesh/ordermesh/services/catalog"
	catalogtable "github.com/ordermesh/ordermesh/services/catalog/postgres"
	flowsservice "github.com/ordermesh/ordermesh/services/flows"
	gatewayservice "github.com/ordermesh/ordermesh/services/gateway"
	inventoryservice "github.com/ordermesh/ordermesh/services/inventory"
	stocktable "github.com/ordermesh/ordermesh/services/inventory/postgres"
	ordersservice "github.com/ordermesh/ordermesh/services/orders"
	orderstable "github.com/ordermesh/ordermesh/services/orders/postgres"
	ordersview "github.com/ordermesh/ordermesh/services/orders/view"
	paymentsservice "github.com/ordermesh/ordermesh/services/payments"
	paymenttable "github.com/ordermesh/ordermesh/services/payments/postgres"
	sandboxservice "github.com/ordermesh/ordermesh/services/sandbox"
	shippingservice "github.com/ordermesh/ordermesh/services/shipping"
	shipmenttable "github.com/ordermesh/ordermesh/services/shipping/postgres"
)

// service is one entry of the list of services: what it says about itself and how
// to build it on a connection of its own.
type service struct {
	desc   contract.Service
	schema *config.Schema // of its settings
	base   config.Values  // what it is started with; nil are the defaults
	build  func(conn *bus.Conn, b backing, base config.Values) (serving, error)
}

// serving is a service that was built: it serves until ctx ends and says when its
// endpoints and consumers stand.
type serving interface {
	Run(ctx context.Context) error
	Ready() <-chan struct{}
}

// gatewayName is the service that answers HTTP.
var gatewayName = gateway.Descriptor.Name

// allServices lists every service of the mesh. `mesh dev` runs them all, `mesh run`
// those that it is told; permissions, streams and buckets follow from the
// descriptors.
func allServices() []service {
	list := []service{
		tunable(catalog.Descriptor, func(c *bus.Conn, b backing, get func() catalog.Settings) (*catalogservice.Service, error) {
			listed, err := stored(b, catalogtable.Table())
			if err != nil {
				return nil, err
			}
			return catalogservice.New(c, catalogservice.Config{Settings: get, Policies: b.policies, Cache: get().Cache, View: listed, Remote: b.remote})
		}),
		tunable(inventory.Descriptor, func(c *bus.Conn, b backing, get func() inventory.Settings) (*inventoryservice.Service, error) {
			listed, err := stored(b, stocktable.Table())
			if err != nil {
				return nil, err
			}
			return inventoryservice.New(c, inventoryservice.Config{Settings: get, Policies: b.policies, Cache: get().Cache, View: listed, Remote: b.remote})
		}),
		tunable(orders.Descriptor, func(c *bus.Conn, b backing, get func() orders.Settings) (*ordersservice.Service, error) {
			listed, err := storedOrders(b)
			if err != nil {
				return nil, err
			}
			return ordersservice.New(c, ordersservice.Config{Settings: get, Policies: b.policies, Cache: get().Cache, View: listed})
		}),
		tunable(payments.Descriptor, func(c *bus.Conn, b backing, get func() payments.Settings) (*paymentsservice.Service, error) {
			listed, err := stored(b, paymenttable.Table())
			if err != nil {
				return nil, err
			}
			return paymentsservice.New(c, paymentsservice.Config{Settings: get, Policies: b.policies, Cache: get().Cache, View: listed})
		}),
		tunable(shipping.Descriptor, func(c *bus.Conn, b backing, get func() shipping.Settings) (*shippingservice.Service, error) {
			listed, err := stored(b, shipmenttable.Table())
			if err != nil {
				return nil, err
			}
			return shippingservice.New(c, shippingservice.Config{Settings: get, Policies: b.policies, Cache: get().Cache, View: listed})
		}),
		tunable(sandbox.Provider, func(c *bus.Conn, _ backing, get func() sandbox.ProviderSettings) (*sandboxservice.Provider, error) {
			return sandboxservice.NewProvider(c, sandboxservice.ProviderConfig{Settings: get})
		}),
		tunable(sandbox.Carrier, func(c *bus.Conn, _ backing, get func() sandbox.CarrierSettings) (*sandboxservice.Carrier, error) {
			return sandboxservice.NewCarrier(c, sandboxservice.CarrierConfig{Settings: get})
		}),
		tunable(gateway.Descriptor, func(c *bus.Conn, b backing, get func() gateway.Settings) (*gatewayservice.Service, error) {
			return gatewayservice.New(c, gatewayservice.Config{Settings: get, Policies: b.policies})
		}),
	}
	known := flowsservice.Config{Services: descriptors(list), Definitions: flowDefinitions()}
	return append(list, tunable(flows.Descriptor, func(c *bus.Conn, _ backing, get func() flows.Settings) (*flowsservice.Service, error) {
		cfg := known
		cfg.Keep = get().Keep
		return flowsservice.New(c, cfg)
	}))
}

// storedOrders is stored for orders, whose view also answers reports.
func storedOrders(b backing) (ordersview.Store, error) {
	if b.pool == nil {
		return ordersview.NewMemory(), nil
	}
	return orderstable.New(b.pool, b.guard())
}

// tunable is a service that asks for its settings whenever it needs them.
func tunable[T any, S serving](desc contract.Service, build func(*bus.Conn, backing, func() T) (S, error)) service {
	schema, err := config.NewSchema[T](desc)
	if err != nil {
		panic(err) // the descriptor is written with the struct
	}
	return service{desc: desc, schema: schema, build: func(conn *bus.Conn, b backing, base config.Values) (serving, error) {
		live, err := config.NewLive[T](conn, schema, base)
		if err != nil {
			return nil, err
		}
		if b.policies, err = callPolicies(conn, desc); err != nil {
			return nil, err
		}
		svc, err := build(conn, b, live.Get)
		if err != nil {
			return nil, err
		}
		return &tuned{serving: svc, settings: live, policies: b.policies}, nil
	}}
}

// tuned is a service with the settings that it asks for, and the policies of its calls.
type tuned struct {
	serving
	policies bus.Runner
	settings interface {
		bus.Runner
		Ready() <-chan struct{}
	}
}

// front is the service as one that answers HTTP itself, if it is one.
func (t *tuned) front() (http.Handler, bool) {
	handler, ok := t.serving.(http.Handler)
	return handler, ok
}

// Run serves once the settings are known, and follows them and the policies.
func (t *tuned) Run(ctx context.Context) error {
	return bus.Run(ctx, t.settings, t.policies, runner(func(ctx context.Context) error {
		select {
		case <-t.settings.Ready():
			return t.serving.Run(ctx)
		case <-ctx.Done():
			return nil
		}
	}))
}

func descriptors(services []service) []contract.Service {
	list := make([]contract.Service, len(services))
	for i, s := range services {
		list[i] = s.desc
	}
	return list
}

func hostedNames(services []*hosted) []string {
	list := make([]string, len(services))
	for i, s := range services {
		list[i] = s.desc.Name
	}
	return list
}
