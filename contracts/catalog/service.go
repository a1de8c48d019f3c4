package catalog

import "github.com/ordermesh/ordermesh/bus/contract"

// Descriptor is what the catalog service says about itself.
var Descriptor = contract.Service{
	Name: "catalog", Version: "1.0.0",
	Doc:      "Products: names and prices.",
	Serves:   []contract.MethodInfo{Put.Info(), Get.Info(), Find.Info(), List.Info()},
	Appends:  []contract.EventsInfo{Events.Info()},
	Views:    []contract.EventsInfo{Events.Info()},
	Caches:   []contract.EventsInfo{Events.Info()},
	Settings: contract.SettingsOf[Settings](),
	Policies: []contract.PolicyInfo{
		{Name: "postgres", Kind: contract.PolicyCalls, Of: contract.CallsStore, Doc: "pages and sums that are read from the view in PostgreSQL"},
		{Name: "redis", Kind: contract.PolicyCalls, Of: contract.CallsStore, Doc: "the Redis in which instances share what they have read"},
	},
}
