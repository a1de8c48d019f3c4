package main

import (
	"strconv"
	"strings"
	"time"

	"github.com/ordermesh/ordermesh/contracts/orders"
	ordersservice "github.com/ordermesh/ordermesh/services/orders"
)

// ordersSettings reads the settings of the orders service from the environment:
// MESH_ORDERS_HOLD_OVER and so on, one for each setting that its descriptor names. What
// is not set has its default.
func ordersSettings(getenv func(string) string) (ordersservice.Config, error) {
	var cfg ordersservice.Config
	for name, to := range map[string]any{
		orders.HoldOver: &cfg.HoldOver, orders.HoldFor: &cfg.HoldFor, orders.PayWithin: &cfg.PayWithin,
		orders.DeliveryGrace: &cfg.DeliveryGrace, orders.RemindEvery: &cfg.RemindEvery, orders.ReconcileAt: &cfg.ReconcileAt,
	} {
		variable := "MESH_ORDERS_" + strings.ToUpper(name)
		text := getenv(variable)
		if text == "" {
			continue
		}
		switch to := to.(type) {
		case *int64:
			n, err := strconv.ParseInt(text, 10, 64)
			if err != nil || n < 0 {
				return cfg, usagef("%s is %q: use a whole number, 0 or more", variable, text)
			}
			*to = n
		case *time.Duration:
			d, err := time.ParseDuration(text)
			if err != nil || d <= 0 {
				return cfg, usagef("%s is %q: use a period such as 15m or 24h", variable, text)
			}
			*to = d
		case *string:
			*to = text
		}
	}
	return cfg, nil
}
