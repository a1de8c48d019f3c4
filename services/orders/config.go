package orders

import (
	"cmp"
	"math"
	"time"
)

// Config of the service. The zero value works.
type Config struct {
	Cache int // orders kept in memory; 0 for the event store's default

	HoldOver  int64         // an order with a higher total, in minor units of its currency, waits for a person; 0 for none
	HoldFor   time.Duration // how long there is for the decision; 0 is a day
	PayWithin time.Duration // how long a payment may take to succeed; 0 is a quarter of an hour

	DeliveryGrace time.Duration // how long after its due time a parcel is overdue; 0 is a day
	RemindEvery   time.Duration // from one reminder of the carrier to the next; 0 is a day

	ReconcileAt string // cron expression of when orders are compared with the outside books; "" is every night
}

func (cfg Config) withDefaults() Config {
	cfg.HoldOver = cmp.Or(cfg.HoldOver, math.MaxInt64)
	cfg.HoldFor = cmp.Or(cfg.HoldFor, 24*time.Hour)
	cfg.PayWithin = cmp.Or(cfg.PayWithin, 15*time.Minute)
	cfg.DeliveryGrace = cmp.Or(cfg.DeliveryGrace, 24*time.Hour)
	cfg.RemindEvery = cmp.Or(cfg.RemindEvery, 24*time.Hour)
	cfg.ReconcileAt = cmp.Or(cfg.ReconcileAt, "0 3 * * *")
	return cfg
}
