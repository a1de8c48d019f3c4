package judge

import (
	"fmt"

	"github.com/ordermesh/ordermesh/contracts/orders"
)

// ruling is what the rules said about an order.
type ruling struct {
	said     *orders.Acceptance
	command  string // that placed it
	followed bool   // a rejected order was cancelled with it
}

// rule notes what the rules said when an order was placed.
func (p *orderPart) rule(o *order, e event, v orders.OrderPlaced) {
	said := v.Acceptance
	if said == nil {
		return
	}
	p.docket.looked(checkAcceptance, 1)
	o.ruling = ruling{said: said, command: e.Command}
	switch said.Outcome {
	case orders.OutcomeAccept, orders.OutcomeHold, orders.OutcomeReject:
	default:
		p.docket.find(checkAcceptance, e.finding(orderInfo, "accept, hold or reject", string(said.Outcome)))
	}
	if said.Revision == 0 {
		p.docket.find(checkAcceptance, e.finding(orderInfo, "the revision of the rules that decided", "none"))
	}
	if said.Error != "" && said.Outcome != orders.OutcomeHold {
		p.docket.find(checkAcceptance, e.finding(orderInfo, "an order on hold when a rule fails", string(said.Outcome)))
	}
}

func (r ruling) rejects() bool { return r.said != nil && r.said.Outcome == orders.OutcomeReject }

// cancelled notes a cancel that may be what the rules asked for.
func (r *ruling) cancelled(e event, v orders.OrderCancelled) {
	if r.rejects() && e.Command == r.command && e.version == 2 {
		r.followed = v.Reason == r.said.Reason
	}
}

// ruled holds orders, and what was done for them, to what the rules said.
func (c *court) ruled() {
	for _, o := range c.orders.orders {
		find := func(expected, is string) {
			c.docket.find(checkAcceptance, o.finding(orders.Placed, expected, is))
		}
		switch {
		case o.ruling.rejects():
			if !o.ruling.followed {
				find("cancelled as it was placed: "+o.ruling.said.Reason, "it is "+orNone(o.status))
			}
			c.untouched(o, find)
		case o.ruling.said != nil && o.ruling.said.Outcome == orders.OutcomeHold:
			if o.at[orders.Confirmed] > 0 && o.at[orders.OnHold] == 0 {
				find("held before it is confirmed", "it never was held")
			}
		}
	}
}

// untouched holds a rejected order to having nothing done for it.
func (c *court) untouched(o *order, find func(expected, is string)) {
	if r := c.inventory.of(o.id); r.status != "" {
		find("no reservation of a rejected order", "it is "+string(r.status))
	}
	if pay := c.payments.payments[o.id]; pay != nil {
		find("no payment of a rejected order", "it is "+pay.state())
	}
	if n := len(c.provider.byOrder[o.id]); n > 0 {
		find("no charge of a rejected order", fmt.Sprintf("%d in the provider's book", n))
	}
	if s := c.shipments.of(o.id); s.created {
		find("no shipment of a rejected order", "it is "+string(s.status))
	}
}
