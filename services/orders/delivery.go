package orders

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/failpoint"
	"github.com/ordermesh/ordermesh/bus/flow"
	"github.com/ordermesh/ordermesh/contracts/orders"
	"github.com/ordermesh/ordermesh/contracts/shipping"
)

// delivery watches over a shipped order until it is delivered. When the parcel is not
// there by its due time and some grace, the carrier is asked again and again; in the end
// a person has to find out, and says how it ended with the signal "resolved".
//
// It changes nothing of the order: what the carrier delivers, the order is told by
// shipping. It only sees to it that no parcel is forgotten.
type delivery struct {
	orders *entity
	post   tracker
	alarm  alarm
}

// tracker asks the carrier where a parcel is.
type tracker interface {
	track(ctx context.Context, key, orderID string) (shipping.Shipment, error)
}

// alarm tells people that the carrier of an overdue parcel is asked, and that it is
// theirs now.
type alarm interface {
	overdue(ctx context.Context, in deliveryInput, reminder int)
	escalated(ctx context.Context, in deliveryInput)
}

// deliveryInput is the order and the settings of when it was shipped.
type deliveryInput struct {
	OrderID    string `json:"order_id"`
	ShipmentID string `json:"shipment_id"`
	WaitMS     int64  `json:"wait_ms"`  // until it is overdue
	EveryMS    int64  `json:"every_ms"` // from one reminder to the next
	Reminders  int    `json:"reminders"`
}

// resolution is how a delivery ended. The carrier delivers; a person may say anything.
type resolution struct {
	Outcome string `json:"outcome"`
	Note    string `json:"note,omitzero"`
}

// outcomeDelivered is the outcome that needs no person.
const outcomeDelivered = "delivered"

// progress is what people see of a delivery that is late.
type progress struct {
	Overdue   bool   `json:"overdue"`
	Reminders int    `json:"reminders"`
	Carrier   string `json:"carrier,omitzero"` // what it said last
	Waits     string `json:"waits,omitzero"`   // for whom, once it is not the carrier
}

func (d *delivery) definition() flow.Definition[deliveryInput, resolution] {
	return flow.Define(orders.DeliveryFlow, 1, d.run)
}

func (d *delivery) run(run *flow.Run, in deliveryInput) (resolution, error) {
	// Whoever notes the delivery later finds this flow; whoever has noted it before is
	// seen here.
	status, err := flow.Step(run, "look", func(ctx context.Context) (orders.Status, error) {
		o, _, err := d.orders.Get(ctx, in.OrderID)
		return o.Status, err
	})
	if err != nil || status == orders.Delivered {
		return resolution{Outcome: outcomeDelivered}, err
	}
	end, err := flow.Await[resolution](run, orders.ResolvedSignal, atLeastOne(in.WaitMS))
	for n := 1; n <= in.Reminders && errors.Is(err, flow.ErrTimedOut); n++ {
		if end, err = d.remind(run, n, in); err == nil && end.Outcome == "" {
			end, err = flow.Await[resolution](run, orders.ResolvedSignal, atLeastOne(in.EveryMS))
		}
	}
	if !errors.Is(err, flow.ErrTimedOut) {
		return end, err
	}
	if err := effect(run, "escalate", in.OrderID, func(ctx context.Context, _, _ string) error { d.alarm.escalated(ctx, in); return nil }); err != nil {
		return resolution{}, err
	}
	run.Report(progress{Overdue: true, Reminders: in.Reminders, Waits: "for a person"})
	return flow.Await[resolution](run, orders.ResolvedSignal, 0)
}

// remind asks the carrier. What it says is an outcome only if it has delivered.
func (d *delivery) remind(run *flow.Run, n int, in deliveryInput) (resolution, error) {
	step := "remind_" + strconv.Itoa(n)
	key := run.Key(step)
	status, err := flow.Step(run, step, func(ctx context.Context) (shipping.Status, error) {
		d.alarm.overdue(ctx, in, n)
		s, err := d.post.track(ctx, key, in.OrderID)
		failpoint.Hit("orders.reminded")
		if contract.IsRefusal(err) {
			return shipping.Status(contract.AsError(err).Reason), nil // a word for people
		}
		return s.Status, err
	}, flow.WithRetry(flow.Retry{Attempts: trackAttempts}))
	if errors.Is(err, flow.ErrCancelled) {
		return resolution{}, err
	}
	if err != nil {
		status = "silent"
	}
	run.Report(progress{Overdue: true, Reminders: n, Carrier: string(status)})
	if status == shipping.Delivered {
		return resolution{Outcome: outcomeDelivered}, nil
	}
	return resolution{}, nil
}

// trackAttempts bounds how often a carrier that does not answer is asked for one
// reminder.
const trackAttempts = 5

func atLeastOne(ms int64) time.Duration { return time.Duration(max(ms, 1)) * time.Millisecond }

// deliveryOf is what the delivery of an order begins with under the settings of now.
func (cfg Config) deliveryOf(id string, e orders.OrderShipped, at time.Time) deliveryInput {
	now := cfg.Settings()
	wait := now.DeliveryGrace
	if !e.Due.IsZero() {
		wait += max(e.Due.Sub(at), 0)
	}
	return deliveryInput{
		OrderID: id, ShipmentID: e.ShipmentID, WaitMS: wait.Milliseconds(),
		EveryMS: now.RemindEvery.Milliseconds(), Reminders: reminders,
	}
}

// reminders is how often a carrier is reminded before a person has to look.
const reminders = 3
