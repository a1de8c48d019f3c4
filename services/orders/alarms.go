package orders

import (
	"context"

	"github.com/ordermesh/ordermesh/bus/telemetry"
)

// alarms tells people by log lines and metrics.
type alarms struct {
	telemetry   *telemetry.Telemetry
	reminders   counter
	escalations counter
}

// counter and gauge are metrics.
type (
	counter interface{ Inc() }
	gauge   interface{ Set(value float64) }
)

func newAlarms(t *telemetry.Telemetry) *alarms {
	return &alarms{
		telemetry:   t,
		reminders:   t.Counter("orders_delivery_reminders_total", "Times that a carrier was asked about a parcel that is overdue.").WithLabelValues(),
		escalations: t.Counter("orders_delivery_escalated_total", "Parcels that are overdue and wait for a person.").WithLabelValues(),
	}
}

// overdue implements alarm.
func (a *alarms) overdue(ctx context.Context, in deliveryInput, reminder int) {
	a.reminders.Inc()
	a.telemetry.Logger.WarnContext(ctx, "a parcel is overdue; the carrier is asked",
		telemetry.KeyOrder, in.OrderID, keyShipment, in.ShipmentID, telemetry.KeyAttempt, reminder)
}

// escalated implements alarm.
func (a *alarms) escalated(ctx context.Context, in deliveryInput) {
	a.escalations.Inc()
	a.telemetry.Logger.ErrorContext(ctx, "a parcel is overdue and waits for a person",
		telemetry.KeyOrder, in.OrderID, keyShipment, in.ShipmentID)
}

// keyShipment is an attribute of log lines of this service alone.
const keyShipment = "shipment_id"
