// Package gateway is what the gateway says about itself: it serves no method and calls those
// that have a route over HTTP.
//
// Which those are is written beside each method (contract.HTTP); nothing of it is repeated
// here.
package gateway

import (
	"time"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/contracts/catalog"
	"github.com/ordermesh/ordermesh/contracts/inventory"
	"github.com/ordermesh/ordermesh/contracts/orders"
)

// Prefix begins the path of every route.
const Prefix = "/api/v1"

// Descriptor is what the gateway says about itself.
var Descriptor = contract.Service{
	Name: "gateway", Version: "1.0.0",
	Doc:      "The methods that have a route, over HTTP.",
	Calls:    Routed(orders.Descriptor, catalog.Descriptor, inventory.Descriptor),
	Settings: contract.SettingsOf[Settings](),
	Policies: []contract.PolicyInfo{
		{Name: "orders", Kind: contract.PolicyCalls, Of: contract.CallsEdge, Doc: "calls of the orders service for callers outside"},
		{Name: "catalog", Kind: contract.PolicyCalls, Of: contract.CallsEdge, Doc: "calls of the catalog for callers outside"},
		{Name: "inventory", Kind: contract.PolicyCalls, Of: contract.CallsEdge, Doc: "calls of the inventory for callers outside"},
	},
}

// Routed lists the methods of services that have a route.
func Routed(services ...contract.Service) []contract.MethodInfo {
	var list []contract.MethodInfo
	for _, s := range services {
		for _, m := range s.Serves {
			if m.HTTP != nil {
				list = append(list, m)
			}
		}
	}
	return list
}

// Settings of the gateway.
type Settings struct {
	Timeout    time.Duration `setting:"timeout" default:"10s" min:"100ms" max:"30s" doc:"how long a request may take that names no time in Mesh-Timeout; commands are repeated so long while a leader is elected"`
	Concurrent int           `setting:"concurrent" default:"1024" min:"1" max:"100000" doc:"requests at the same time; more are answered 503"`
	Large      int           `setting:"large" default:"16" min:"1" max:"1000" doc:"of them those with more than 64 KiB of body"`
	Linger     time.Duration `setting:"linger" default:"0s" min:"0s" max:"5s" doc:"how long new requests are still served after a SIGTERM, for balancers that have not seen /readyz yet"`
}
