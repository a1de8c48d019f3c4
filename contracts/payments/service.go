package payments

import (
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/contracts/sandbox"
)

// Descriptor is what the payments service says about itself.
var Descriptor = contract.Service{
	Name: "payments", Version: "1.0.0",
	Doc:    "One payment per order at a payment provider.",
	Serves: []contract.MethodInfo{Authorize.Info(), Capture.Info(), Void.Info(), Refund.Info(), Get.Info(), List.Info(), Charges.Info(), Key.Info()},
	Calls: []contract.MethodInfo{
		sandbox.Authorize.Info(), sandbox.Capture.Info(), sandbox.Void.Info(), sandbox.Refund.Info(), sandbox.QueryCharge.Info(), sandbox.ListCharges.Info(),
	},
	Appends:  []contract.EventsInfo{Events.Info()},
	Books:    []string{KeyBook},
	Views:    []contract.EventsInfo{Events.Info()},
	Settings: contract.SettingsOf[Settings](),
	Policies: []contract.PolicyInfo{
		{Name: "postgres", Kind: contract.PolicyCalls, Of: contract.CallsStore, Doc: "pages and sums that are read from the view in PostgreSQL"},
		{Name: "provider", Kind: contract.PolicyCalls, Of: contract.CallsPartner, Doc: "calls of the payment provider"},
	},
}
