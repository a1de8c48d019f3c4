package judge

import (
	"errors"
	"hash/maphash"
	"time"

	"github.com/ordermesh/ordermesh/bus/contract"
)

// court holds one part for each stream. The parts hear their streams in parallel
// and share nothing but the docket; conclude then compares them.
type court struct {
	atRest bool
	docket *docket

	orders    *orderPart
	payments  *paymentPart
	inventory *inventoryPart
	shipments *shipmentPart
	products  *productPart
	provider  *providerPart
	carrier   *carrierPart
	flows     *flowPart
	letters   *letterPart
}

func newCourt(atRest bool) *court {
	d := newDocket()
	seed := [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}
	return &court{
		atRest: atRest, docket: d,
		orders:    &orderPart{history: newHistory(d, seed), orders: map[string]*order{}},
		payments:  &paymentPart{history: newHistory(d, seed), payments: map[string]*payment{}},
		inventory: &inventoryPart{history: newHistory(d, seed), stock: map[string]*stock{}, holds: map[holdKey]*hold{}, reservations: map[string]*reservation{}},
		shipments: &shipmentPart{history: newHistory(d, seed), shipments: map[string]*shipment{}},
		products:  &productPart{history: newHistory(d, seed), prices: map[price]bool{}},
		provider:  newProviderPart(d),
		carrier:   newCarrierPart(d),
		flows:     &flowPart{docket: d, instances: map[string]*instance{}},
		letters:   &letterPart{docket: d},
	}
}

func (c *court) histories() []*history {
	return []*history{c.orders.history, c.payments.history, c.inventory.history, c.shipments.history, c.products.history}
}

// conclude compares what the parts have heard.
func (c *court) conclude(acked []string) {
	var events, commands [][]mark
	for _, h := range c.histories() {
		c.docket.looked(checkReadable, h.messages)
		c.docket.looked(checkVersions, len(h.chains))
		events, commands = append(events, h.events), append(commands, h.commands)
	}
	unique(c.docket, checkEventIDs, "an event id", events...)
	unique(c.docket, checkCommands, "a command id", commands...)
	c.backedUp()
	c.ruled()
	c.priced()
	c.booked()
	c.refunded()
	c.flows.conclude(c.atRest, c.waitsRightly)
	if c.atRest {
		c.inventory.conclude(c.orders)
		c.conserved()
		c.finished()
		c.settled()
		c.orphans()
		c.reconciled()
	}
	c.acknowledged(acked)
}

func (c *court) report(all []*testimony, opts Options, took time.Duration) Report {
	r := Report{AtRest: opts.AtRest, Checks: c.docket.ordered(), Notes: c.docket.notes, Totals: c.totals(), Took: rounded(took)}
	for _, t := range all {
		r.Streams = append(r.Streams, Stream{Name: t.stream, Exists: t.exists, Messages: t.heard, Last: t.upTo})
	}
	r.Clean = r.Count() == 0
	return r
}

func (c *court) totals() Totals {
	t := Totals{Orders: map[string]int{}, Charges: len(c.provider.charges), DeadLetters: c.letters.count}
	for _, h := range c.histories() {
		t.Events += len(h.events)
	}
	for _, o := range c.orders.orders {
		t.Orders[string(o.status)]++
	}
	for _, s := range c.inventory.stock {
		t.OnHand += s.onHand
		t.Reserved += s.reserved
		t.Adjusted += s.adjusted
		t.Sold += s.sold
		t.Restocked += s.restocked
	}
	return t
}

// decoded returns an event's contract type; one that cannot be read is a finding.
func decoded[E any](h *history, events contract.Events[E], e event) (E, bool) {
	v, err := events.Decode(e.Type, e.Data)
	if err == nil {
		return v, true
	}
	expected := "data of " + e.Type
	if errors.Is(err, contract.ErrUnknownEvent) {
		expected = "an event type that this build knows"
	}
	h.docket.find(checkReadable, e.finding(events.Info(), expected, err.Error()))
	return v, false
}

// finding blames an event.
func (e event) finding(info contract.EventsInfo, expected, is string) Finding {
	return Finding{Entity: info.Entity + " " + e.id, Subject: e.subject, Sequence: e.sequence, Expected: expected, Is: is}
}
