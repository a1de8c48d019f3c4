package catalog

import "github.com/ordermesh/ordermesh/bus/contract"

// Descriptor is what the catalog service says about itself.
var Descriptor = contract.Service{
	Name: "catalog", Version: "1.0.0",
	Doc:      "Products: names and prices.",
	Serves:   []contract.MethodInfo{Put.Info(), Get.Info(), Find.Info(), List.Info()},
	Appends:  []contract.EventsInfo{Events.Info()},
	Views:    []contract.EventsInfo{Events.Info()},
	Settings: contract.SettingsOf[Settings](),
}
