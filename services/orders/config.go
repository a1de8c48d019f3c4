package orders

import (
	"github.com/ordermesh/ordermesh/bus/config"
	"github.com/ordermesh/ordermesh/contracts/orders"
	ordersview "github.com/ordermesh/ordermesh/services/orders/view"
)

// Config of the service. The zero value works.
type Config struct {
	Settings func() orders.Settings // asked for each order; nil are the defaults
	Cache    int                    // orders kept in memory; 0 for the event store's default
	View     ordersview.Store       // nil is one in memory
}

func (cfg Config) withDefaults() Config {
	if cfg.Settings == nil {
		cfg.Settings = config.Fixed(config.Defaults[orders.Settings]())
	}
	if cfg.View == nil {
		cfg.View = ordersview.NewMemory()
	}
	return cfg
}
