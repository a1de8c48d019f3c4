package event_test

import (
	"context"
	"fmt"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/event"
)

type shipped struct {
	Carrier string `json:"carrier"`
}

type shipmentEvent interface{ shipmentEvent() }

func (shipped) shipmentEvent() {}

var shipments = contract.NewEvents("shipping", "SHIPPING", "shipment",
	contract.Type[shipmentEvent, shipped]("shipment.shipped.v1"))

// A consumer that tells the customer about every shipment.
func ExampleNewConsumer() {
	notify := func(ctx context.Context, conn *bus.Conn, send func(ctx context.Context, key, text string) error) error {
		consumer, err := event.NewConsumer(conn, shipments, "mailer-shipped", event.Types("shipment.shipped.v1"))
		if err != nil {
			return err
		}
		return consumer.Run(ctx, func(ctx context.Context, e event.Event[shipmentEvent]) event.Outcome {
			text := fmt.Sprintf("order %s is with %s", e.ID, e.Data.(shipped).Carrier)
			return event.From(send(ctx, e.EventID, text)) // the event's id makes a repetition harmless
		})
	}
	_ = notify
}
