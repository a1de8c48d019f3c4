package main

import (
	"context"
	"os"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/contracts/catalog"
	"github.com/ordermesh/ordermesh/contracts/flows"
	"github.com/ordermesh/ordermesh/contracts/inventory"
	"github.com/ordermesh/ordermesh/contracts/orders"
	"github.com/ordermesh/ordermesh/contracts/payments"
	"github.com/ordermesh/ordermesh/contracts/sandbox"
	"github.com/ordermesh/ordermesh/contracts/shipping"
	catalogservice "github.com/ordermesh/ordermesh/services/catalog"
	flowsservice "github.com/ordermesh/ordermesh/services/flows"
	inventoryservice "github.com/ordermesh/ordermesh/services/inventory"
	ordersservice "github.com/ordermesh/ordermesh/services/orders"
	paymentsservice "github.com/ordermesh/ordermesh/services/payments"
	sandboxservice "github.com/ordermesh/ordermesh/services/sandbox"
	shippingservice "github.com/ordermesh/ordermesh/services/shipping"
)

// service is one entry of the list of services: what it says about itself and how
// to build it on a connection of its own.
type service struct {
	desc  contract.Service
	build func(conn *bus.Conn) (serving, error)
}

// serving is a service that was built: it serves until ctx ends and says when its
// endpoints and consumers stand.
type serving interface {
	Run(ctx context.Context) error
	Ready() <-chan struct{}
}

// allServices lists every service of the mesh. `mesh dev` runs them all, `mesh run`
// those that it is told; permissions, streams and buckets follow from the
// descriptors.
func allServices() []service { return servicesWith(shippingservice.Config{}) }

// servicesWith is allServices with shipping as the caller wants it.
func servicesWith(ship shippingservice.Config) []service {
	list := []service{
		{catalog.Descriptor, from(func(c *bus.Conn) (*catalogservice.Service, error) {
			return catalogservice.New(c, catalogservice.Config{})
		})},
		{inventory.Descriptor, from(func(c *bus.Conn) (*inventoryservice.Service, error) {
			return inventoryservice.New(c, inventoryservice.Config{})
		})},
		{orders.Descriptor, from(func(c *bus.Conn) (*ordersservice.Service, error) {
			cfg, err := ordersSettings(os.Getenv)
			if err != nil {
				return nil, err
			}
			return ordersservice.New(c, cfg)
		})},
		{payments.Descriptor, from(func(c *bus.Conn) (*paymentsservice.Service, error) {
			return paymentsservice.New(c, paymentsservice.Config{})
		})},
		{shipping.Descriptor, from(func(c *bus.Conn) (*shippingservice.Service, error) {
			return shippingservice.New(c, ship)
		})},
		{sandbox.Provider, from(func(c *bus.Conn) (*sandboxservice.Provider, error) {
			return sandboxservice.NewProvider(c, sandboxservice.ProviderConfig{})
		})},
		{sandbox.Carrier, from(func(c *bus.Conn) (*sandboxservice.Carrier, error) {
			return sandboxservice.NewCarrier(c, sandboxservice.CarrierConfig{})
		})},
	}
	known := flowsservice.Config{Services: descriptors(list), Definitions: flowDefinitions()}
	return append(list, service{flows.Descriptor, from(func(c *bus.Conn) (*flowsservice.Service, error) {
		return flowsservice.New(c, known)
	})})
}

// from makes a service's own constructor fit the list.
func from[S serving](build func(*bus.Conn) (S, error)) func(*bus.Conn) (serving, error) {
	return func(conn *bus.Conn) (serving, error) { return build(conn) }
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
