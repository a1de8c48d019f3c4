package inventory

import "github.com/ordermesh/ordermesh/bus/contract"

// Descriptor is what the inventory service says about itself.
var Descriptor = contract.Service{
	Name: "inventory", Version: "1.0.0",
	Doc:      "Stock per SKU and reservations per order.",
	Serves:   []contract.MethodInfo{Adjust.Info(), Get.Info(), List.Info(), Reserve.Info(), Release.Info(), Commit.Info()},
	Appends:  []contract.EventsInfo{StockEvents.Info(), ReservationEvents.Info()},
	Views:    []contract.EventsInfo{StockEvents.Info()},
	Caches:   []contract.EventsInfo{StockEvents.Info()},
	Settings: contract.SettingsOf[Settings](),
	Policies: []contract.PolicyInfo{
		{Name: "postgres", Kind: contract.PolicyCalls, Of: contract.CallsStore, Doc: "pages and sums that are read from the view in PostgreSQL"},
		{Name: "redis", Kind: contract.PolicyCalls, Of: contract.CallsStore, Doc: "the Redis in which instances share what they have read"},
	},
}
