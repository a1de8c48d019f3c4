package orders

import "github.com/ordermesh/ordermesh/bus/flow"

// Flows are the definitions of the service's flows over nothing: good for holding
// histories against them, which runs no step.
func Flows() []flow.Registered {
	outside := partners{}
	return []flow.Registered{
		(&checkout{shelf: outside, bank: outside, post: outside}).definition(),
		(&refund{bank: outside}).definition(),
	}
}
