package shipping

import (
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/contracts/sandbox"
)

// Descriptor is what the shipping service says about itself.
var Descriptor = contract.Service{
	Name: "shipping", Version: "1.0.0",
	Doc:      "One shipment per order at a carrier.",
	Serves:   []contract.MethodInfo{Create.Info(), Cancel.Info(), Get.Info(), List.Info(), Track.Info(), Parcels.Info(), Deliver.Info()},
	Calls:    []contract.MethodInfo{sandbox.Ship.Info(), sandbox.CancelParcel.Info(), sandbox.QueryParcel.Info(), sandbox.ListParcels.Info()},
	Appends:  []contract.EventsInfo{Events.Info()},
	Views:    []contract.EventsInfo{Events.Info()},
	Settings: contract.SettingsOf[Settings](),
	Policies: []contract.PolicyInfo{
		{Name: "postgres", Kind: contract.PolicyCalls, Of: contract.CallsStore, Doc: "pages and sums that are read from the view in PostgreSQL"},
		{Name: "carrier", Kind: contract.PolicyCalls, Of: contract.CallsPartner, Doc: "calls of the carrier"},
	},
}
