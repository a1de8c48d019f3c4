package flows

import "github.com/ordermesh/ordermesh/bus/contract"

// Descriptor is what the flows service says about itself: it writes the inboxes of
// every service's flows and follows their journals.
var Descriptor = contract.Service{
	Name: "flows", Version: "1.0.0",
	Doc:      "Starts, shows and steers the flows of every service.",
	Serves:   []contract.MethodInfo{Start.Info(), Signal.Info(), Cancel.Info(), Retry.Info(), Get.Info(), List.Info()},
	Starts:   []string{contract.EveryService},
	Follows:  []string{contract.EveryService},
	Settings: contract.SettingsOf[Settings](),
}
