package orders

import (
	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/config"
	"github.com/ordermesh/ordermesh/bus/policy"
	"github.com/ordermesh/ordermesh/contracts/orders"
	ordersview "github.com/ordermesh/ordermesh/services/orders/view"
)

// Config of the service. The zero value works.
type Config struct {
	Settings func() orders.Settings // asked for each order; nil are the defaults
	Policies *policy.Set            // how others are called; nil is as built in
	Cache    int                    // orders kept in memory; 0 for the event store's default
	View     ordersview.Store       // nil is one in memory
}

func (cfg Config) withDefaults(conn *bus.Conn) Config {
	if cfg.Settings == nil {
		cfg.Settings = config.Fixed(config.Defaults[orders.Settings]())
	}
	if cfg.View == nil {
		cfg.View = ordersview.NewMemory()
	}
	if cfg.Policies == nil {
		cfg.Policies = policy.NewSet(conn, orders.Descriptor)
	}
	return cfg
}
