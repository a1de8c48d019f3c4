package orders

import (
	"time"

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
	DeliveryFlow      = "delivery"
	ReconcileFlow     = "reconcile"
	RefundFlow        = "refund"
)

// ReactionWait is how long an order may wait for its checkout, or a delivery for being
// noted, when the process that was about to do it is killed. Held events say every
// second that they are alive, so a slow reaction is not repeated.
const ReactionWait = 5 * time.Second

// ResolvedSignal ends a delivery that waits for a person: {"outcome":"…","note":"…"}.
const ResolvedSignal = "resolved"

// Descriptor is what the orders service says about itself.
var Descriptor = contract.Service{
	Name: "orders", Version: "1.0.0",
	Doc:    "Orders from placed to delivered or cancelled.",
	Serves: []contract.MethodInfo{Place.Info(), Get.Info(), List.Info(), Report.Info(), Cancel.Info(), Approve.Info(), Reject.Info(), Refund.Info()},
	Calls: []contract.MethodInfo{
		catalog.Find.Info(), catalog.Get.Info(), // get: earlier builds, while they still run
		inventory.Reserve.Info(), inventory.Release.Info(), inventory.Commit.Info(),
		payments.Key.Info(), payments.Authorize.Info(), payments.Capture.Info(), payments.Void.Info(), payments.Refund.Info(), payments.Charges.Info(),
		shipping.Create.Info(), shipping.Track.Info(), shipping.Parcels.Info(),
	},
	Appends: []contract.EventsInfo{Events.Info()},
	Consumes: []contract.Consumption{
		{Durable: CheckoutConsumer, Events: Events.Info(), AckWait: ReactionWait},
		{Durable: DeliveredConsumer, Events: shipping.Events.Info(), AckWait: ReactionWait},
	},
	Views: []contract.EventsInfo{Events.Info()},
	Flows: []contract.FlowInfo{
		{Name: CheckoutFlow, Version: 2, Doc: "takes a placed order to the carrier, or cancels it and gives everything back"},
		{Name: DeliveryFlow, Version: 1, Doc: "watches over a shipped order; one that is overdue waits for the signal resolved in the end"},
		{Name: ReconcileFlow, Version: 1, Doc: "compares orders with the books of the provider and the carrier; started every night, or by hand with {}"},
		{Name: RefundFlow, Version: 1, Doc: "gives back what was promised of a delivered order's money"},
	},
	Settings: contract.SettingsOf[Settings](),
	Policies: []contract.PolicyInfo{
		{Name: "postgres", Kind: contract.PolicyCalls, Of: contract.CallsStore, Doc: "pages and sums that are read from the view in PostgreSQL"},
		{Name: AcceptancePolicy, Kind: contract.PolicyRules, Doc: "whether a new order is accepted, held for a person or rejected"},
		{Name: "catalog", Kind: contract.PolicyCalls, Of: contract.CallsMesh, Doc: "calls of the catalog: prices of new orders"},
		{Name: "inventory", Kind: contract.PolicyCalls, Of: contract.CallsMesh, Doc: "calls of the inventory: reservations"},
		{Name: "payments", Kind: contract.PolicyCalls, Of: contract.CallsMesh, Doc: "calls of the payments service"},
		{Name: "shipping", Kind: contract.PolicyCalls, Of: contract.CallsMesh, Doc: "calls of the shipping service"},
	},
}
