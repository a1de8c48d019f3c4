package orders

import (
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/contracts/catalog"
	"github.com/ordermesh/ordermesh/contracts/inventory"
	"github.com/ordermesh/ordermesh/contracts/payments"
	"github.com/ordermesh/ordermesh/contracts/shipping"
)

// The durable consumers of the orders service and its flows.
const (
	CheckoutConsumer  = "orders-checkout"  // starts the flows that orders' events ask for
	DeliveredConsumer = "orders-delivered" // notes what the carrier delivered
	CheckoutFlow      = "checkout"
	RefundFlow        = "refund"
)

// Descriptor is what the orders service says about itself.
var Descriptor = contract.Service{
	Name: "orders", Version: "1.0.0",
	Doc:    "Orders from placed to delivered or cancelled.",
	Serves: []contract.MethodInfo{Place.Info(), Get.Info(), List.Info(), Cancel.Info(), Approve.Info(), Reject.Info(), Refund.Info()},
	Calls: []contract.MethodInfo{
		catalog.Get.Info(),
		inventory.Reserve.Info(), inventory.Release.Info(), inventory.Commit.Info(),
		payments.Key.Info(), payments.Authorize.Info(), payments.Capture.Info(), payments.Void.Info(), payments.Refund.Info(),
		shipping.Create.Info(),
	},
	Appends: []contract.EventsInfo{Events.Info()},
	Consumes: []contract.Consumption{
		{Durable: CheckoutConsumer, Events: Events.Info()},
		{Durable: DeliveredConsumer, Events: shipping.Events.Info()},
	},
	Views: []contract.EventsInfo{Events.Info()},
	Flows: []contract.FlowInfo{
		{Name: CheckoutFlow, Version: 1, Doc: "takes a placed order to the carrier, or cancels it and gives everything back"},
		{Name: RefundFlow, Version: 1, Doc: "gives back what was promised of a delivered order's money"},
	},
}
