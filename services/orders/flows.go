package orders

import "github.com/ordermesh/ordermesh/bus/flow"

// definitions are the flows of this service.
type definitions struct {
	checkout   flow.Definition[checkoutInput, checkoutResult]
	checkoutV1 flow.Definition[checkoutInput, checkoutResult]
	delivery   flow.Definition[deliveryInput, resolution]
	reconcile  flow.Definition[reconcileInput, reconciled]
	refund     flow.Definition[refundInput, refundResult]
}

func define(orders *entity, outside partners, people alarm, books books, report reporter) definitions {
	checkout := &checkout{orders: orders, shelf: outside, bank: outside, post: outside}
	return definitions{
		checkout:   checkout.definition(checkoutVersion),
		checkoutV1: checkout.definition(1),
		delivery:   (&delivery{orders: orders, post: outside, alarm: people}).definition(),
		reconcile:  (&reconcile{books: books, report: report}).definition(),
		refund:     (&refund{orders: orders, bank: outside}).definition(),
	}
}

func (d definitions) all() []flow.Registered {
	return []flow.Registered{d.checkout, d.checkoutV1, d.delivery, d.reconcile, d.refund}
}

// Flows are the definitions of the service's flows over nothing: good for holding
// histories against them, which runs no step.
func Flows() []flow.Registered { return define(nil, partners{}, nil, nil, nil).all() }
