package main

import (
	"context"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/contract"
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
func allServices() []service {
	return []service{}
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
