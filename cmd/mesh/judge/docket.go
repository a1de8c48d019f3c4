package judge

import (
	"cmp"
	"slices"
	"strconv"
	"sync"
)

// Names of the checks, in the order of the report.
const (
	checkReadable     = "readable"
	checkVersions     = "versions"
	checkEventIDs     = "event ids"
	checkCommands     = "commands"
	checkStock        = "stock"
	checkHolds        = "holds"
	checkReservations = "reservations"
	checkRefusals     = "refusals"
	checkConserved    = "conservation"
	checkPayments     = "payments"
	checkOrders       = "orders"
	checkAcceptance   = "acceptance"
	checkPrices       = "prices"
	checkShipments    = "shipments"
	checkRefunds      = "refunds"
	checkBackedUp     = "backed up"
	checkSettled      = "settled"
	checkProvider     = "provider"
	checkCarrier      = "carrier"
	checkFlows        = "flows"
	checkFinished     = "finished"
	checkAcked        = "acknowledged"
)

var promises = []Check{
	{Name: checkReadable, Promise: "every message on an entity's subject is a commit of events that the contracts know"},
	{Name: checkVersions, Promise: "each entity's versions count 1..n, its messages are chained, no gap and no fork"},
	{Name: checkEventIDs, Promise: "no event id is used twice"},
	{Name: checkCommands, Promise: "no command was applied twice to an entity"},
	{Name: checkStock, Promise: "0 ≤ reserved ≤ on hand after every event of a SKU"},
	{Name: checkHolds, Promise: "an order holds of a SKU what it reserved, is sold what it holds, once, and returns what it was sold, once"},
	{Name: checkReservations, Promise: "a closed reservation stays closed; at rest the stock agrees with it and none is open"},
	{Name: checkRefusals, Promise: "a reservation is refused only if a SKU was short at some moment since it was opened"},
	{Name: checkConserved, Promise: "at rest on hand + sold = initial + restocked, as the reservations have it"},
	{Name: checkPayments, Promise: "captured ≤ authorized and refunded ≤ captured; a payment is settled once"},
	{Name: checkOrders, Promise: "an order goes its way forward only, and its total is the sum of its lines and charges"},
	{Name: checkAcceptance, Promise: "what the rules said of an order has a revision; one they reject is cancelled as it is placed, with nothing done for it, one they hold is held before it is confirmed"},
	{Name: checkPrices, Promise: "the price in an order was the catalog's"},
	{Name: checkShipments, Promise: "one shipment per order, created, then delivered or cancelled"},
	{Name: checkRefunds, Promise: "a delivered order's refunds are promised, then made or refused, once, and never more than its total; a refund that is made was made by payments"},
	{Name: checkBackedUp, Promise: "authorized ⇒ held, confirmed ⇒ authorized, dispatched ⇒ captured and sold, shipped and delivered ⇒ so is the shipment"},
	{Name: checkSettled, Promise: "at rest delivered ⇒ captured = total and refunded as the order says, cancelled ⇒ net 0, nothing open, nothing held, nothing on its way"},
	{Name: checkProvider, Promise: "one charge per order in the provider's book, of the order's amount; at rest it agrees with the payment"},
	{Name: checkCarrier, Promise: "one parcel per order in the carrier's book; at rest it agrees with the shipment"},
	{Name: checkFlows, Promise: "journals only grow, an ended flow stays ended, none is stuck; at rest all have ended but those that wait for a person"},
	{Name: checkFinished, Promise: "at rest every order is delivered, cancelled or on hold with a checkout that waits, and every refund has ended"},
	{Name: checkAcked, Promise: "every acknowledged order is stored"},
}

// kept bounds the findings of one check: a broken mesh breaks a promise everywhere.
const kept = 1000

// docket collects what the parts of the court find, from several goroutines.
type docket struct {
	mu     sync.Mutex
	checks map[string]*Check
	notes  []Note
}

func newDocket() *docket {
	d := &docket{checks: map[string]*Check{}}
	for _, c := range promises {
		c.Findings = []Finding{}
		d.checks[c.Name] = &c
	}
	return d
}

// looked counts things that were held to a promise.
func (d *docket) looked(check string, n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.checks[check].Looked += n
}

func (d *docket) find(check string, f Finding) {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := d.checks[check]
	if len(c.Findings) == kept {
		c.Omitted++
		return
	}
	c.Findings = append(c.Findings, f)
}

func (d *docket) note(n Note) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.notes = append(d.notes, n)
}

// ordered returns the checks in the order of promises, findings and notes sorted.
func (d *docket) ordered() []Check {
	checks := make([]Check, len(promises))
	for i, p := range promises {
		checks[i] = *d.checks[p.Name]
		slices.SortStableFunc(checks[i].Findings, func(a, b Finding) int {
			return cmp.Or(cmp.Compare(a.Entity, b.Entity), cmp.Compare(a.Sequence, b.Sequence))
		})
	}
	slices.SortStableFunc(d.notes, func(a, b Note) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Subject, b.Subject), cmp.Compare(a.Sequence, b.Sequence))
	})
	return checks
}

func number[N ~int64 | ~uint64 | ~int](n N) string {
	if n < 0 {
		return strconv.FormatInt(int64(n), 10)
	}
	return strconv.FormatUint(uint64(n), 10)
}
