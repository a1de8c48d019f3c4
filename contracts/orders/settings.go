package orders

import "time"

// Settings of the orders service. An order keeps those that held when it was placed.
type Settings struct {
	HoldOver  int64         `setting:"hold_over" default:"0" min:"0" doc:"an order with a higher total, in minor units of its currency, waits for a person; 0 for none"`
	HoldFor   time.Duration `setting:"hold_for" default:"24h" min:"1ms" max:"2160h" doc:"how long there is for that decision before the order is cancelled"`
	PayWithin time.Duration `setting:"pay_within" default:"15m" min:"1ms" max:"720h" doc:"how long a payment may take to succeed before the order is cancelled"`

	DeliveryGrace time.Duration `setting:"delivery_grace" default:"24h" min:"1ms" max:"2160h" doc:"how long after its due time a parcel is overdue"`
	RemindEvery   time.Duration `setting:"remind_every" default:"24h" min:"1ms" max:"2160h" doc:"how often the carrier of an overdue parcel is asked; after three times a person must look"`

	ReconcileAt string        `setting:"reconcile_at" default:"0 3 * * *" read:"start" doc:"when orders are compared with the outside books, as a cron expression in UTC"`
	FlowKeep    time.Duration `setting:"flow_keep" default:"168h" min:"1s" read:"start" doc:"how long the journal of a flow is kept after its end, for people who look at it"`
	FlowResult  time.Duration `setting:"flow_result" default:"720h" min:"1s" read:"start" doc:"how long the result of a flow is remembered after that; then its id may be used again"`
	Cache       int           `setting:"cache" default:"0" min:"0" read:"start" doc:"orders kept in memory; 0 for the event store's default"`
}
