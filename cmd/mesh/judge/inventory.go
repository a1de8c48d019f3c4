package judge

import (
	"fmt"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/contracts/inventory"
	"github.com/ordermesh/ordermesh/contracts/line"
)

// inventoryPart folds the stream INVENTORY: stock, reservations, and what each order
// has to do with each SKU, which both speak of.
type inventoryPart struct {
	*history
	stock        map[string]*stock
	holds        map[holdKey]*hold
	reservations map[string]*reservation
}

type stock struct {
	sku                                         string
	last                                        uint64
	onHand, reserved, adjusted, sold, restocked int64
}

type holdKey struct{ sku, order string }

// hold is what an order has of a SKU.
type hold struct {
	state    holdState
	quantity int64
	last     uint64
}

type holdState string

const (
	unheld    holdState = "not held"
	held      holdState = "held"
	released  holdState = "released"
	sold      holdState = "sold"
	restocked holdState = "restocked"
)

type reservation struct {
	id     string // the order's
	last   uint64
	status inventory.Status
	lines  []line.Line
	held   bool // at some time
}

var (
	stockInfo       = inventory.StockEvents.Info()
	reservationInfo = inventory.ReservationEvents.Info()
	inventoryInfos  = []contract.EventsInfo{stockInfo, reservationInfo}
)

func (p *inventoryPart) hear(m message) {
	p.take(m, inventoryInfos, func(info contract.EventsInfo, e event) {
		if info.Entity == stockInfo.Entity {
			if v, ok := decoded(p.history, inventory.StockEvents, e); ok {
				p.hearStock(v, e)
			}
			return
		}
		if v, ok := decoded(p.history, inventory.ReservationEvents, e); ok {
			p.hearReservation(v, e)
		}
	})
}

func (p *inventoryPart) hearStock(v inventory.StockEvent, e event) {
	s := p.stock[e.id]
	if s == nil {
		s = &stock{sku: e.id}
		p.stock[e.id] = s
	}
	s.last = e.sequence
	switch v := v.(type) {
	case inventory.StockAdjusted:
		s.adjusted += v.Delta
		s.onHand += v.Delta
	case inventory.StockHeld:
		s.reserved += v.Quantity
		p.move(e, v.OrderID, v.Quantity, held, unheld)
	case inventory.StockHoldReleased:
		s.reserved -= v.Quantity
		p.release(e, v)
	case inventory.StockSold:
		s.reserved -= v.Quantity
		s.onHand -= v.Quantity
		s.sold += v.Quantity
		p.move(e, v.OrderID, v.Quantity, sold, held)
	case inventory.StockRestocked:
		s.onHand += v.Quantity
		s.restocked += v.Quantity
		p.move(e, v.OrderID, v.Quantity, restocked, sold)
	}
	p.docket.looked(checkStock, 1)
	if s.reserved < 0 || s.reserved > s.onHand {
		p.docket.find(checkStock, e.finding(stockInfo, "0 ≤ reserved ≤ on hand", fmt.Sprintf("%d reserved of %d on hand after %s", s.reserved, s.onHand, e.Type)))
	}
}

func (p *inventoryPart) hold(sku, order string) *hold {
	key := holdKey{sku, order}
	h := p.holds[key]
	if h == nil {
		h = &hold{state: unheld}
		p.holds[key] = h
	}
	return h
}

// move takes a hold from one state to the next. What is held first must be as much
// as the reservation says, and later as much as was held.
func (p *inventoryPart) move(e event, order string, quantity int64, to, from holdState) {
	p.docket.looked(checkHolds, 1)
	h := p.hold(e.id, order)
	want := h.quantity
	if to == held {
		want = p.reserved(order, e.id)
	}
	if h.state != from || quantity != want || quantity <= 0 {
		p.docket.find(checkHolds, e.finding(stockInfo,
			fmt.Sprintf("%s of %d that order %s has %s", e.Type, want, order, from),
			fmt.Sprintf("%d, and the order has %d %s", quantity, h.quantity, h.state)))
	}
	h.state, h.quantity, h.last = to, quantity, e.sequence
}

// release ends a hold, or, with quantity 0, marks that there will be none.
func (p *inventoryPart) release(e event, v inventory.StockHoldReleased) {
	p.docket.looked(checkHolds, 1)
	h := p.hold(e.id, v.OrderID)
	want := int64(0)
	if h.state == held {
		want = h.quantity
	}
	if v.Quantity != want || h.state == sold || h.state == restocked {
		p.docket.find(checkHolds, e.finding(stockInfo,
			fmt.Sprintf("%s of %d for order %s", e.Type, want, v.OrderID),
			fmt.Sprintf("%d, and the order has %d %s", v.Quantity, h.quantity, h.state)))
	}
	h.state, h.quantity, h.last = released, 0, e.sequence
}

// reserved is how much of a SKU the order's reservation has so far asked for.
func (p *inventoryPart) reserved(order, sku string) int64 {
	if r := p.reservations[order]; r != nil {
		for _, l := range r.lines {
			if l.SKU == sku {
				return l.Quantity
			}
		}
	}
	return 0
}

// reservationFrom says from which states a reservation may come to each state.
var reservationFrom = map[inventory.Status][]inventory.Status{
	inventory.Open:      {""},
	inventory.Held:      {inventory.Open},
	inventory.Refused:   {inventory.Open},
	inventory.Released:  {"", inventory.Open, inventory.Held},
	inventory.Committed: {inventory.Held},
	inventory.Returned:  {inventory.Committed},
}

func (p *inventoryPart) hearReservation(v inventory.ReservationEvent, e event) {
	r := p.reservations[e.id]
	if r == nil {
		r = &reservation{id: e.id}
		p.reservations[e.id] = r
	}
	p.docket.looked(checkReservations, 1)
	switch v := v.(type) {
	case inventory.ReservationOpened:
		r.lines = v.Lines
		p.enter(r, e, inventory.Open)
	case inventory.ReservationHeld:
		p.enter(r, e, inventory.Held)
		r.held = true
		p.allHeld(r, e)
	case inventory.ReservationRefused:
		p.enter(r, e, inventory.Refused)
	case inventory.ReservationReleased:
		p.enter(r, e, inventory.Released)
	case inventory.ReservationCommitted:
		p.enter(r, e, inventory.Committed)
		p.allHeld(r, e)
	case inventory.ReservationReturned:
		p.enter(r, e, inventory.Returned)
	}
}

func (p *inventoryPart) enter(r *reservation, e event, to inventory.Status) {
	allowed := false
	for _, from := range reservationFrom[to] {
		allowed = allowed || r.status == from
	}
	if !allowed {
		p.docket.find(checkReservations, e.finding(reservationInfo, fmt.Sprintf("no %s after %s", e.Type, orNone(r.status)), "it is there"))
	}
	r.status, r.last = to, e.sequence
}

// allHeld holds a reservation that says so to having every line held at that moment.
func (p *inventoryPart) allHeld(r *reservation, e event) {
	for _, l := range r.lines {
		if h := p.hold(l.SKU, r.id); h.state != held || h.quantity != l.Quantity {
			p.docket.find(checkReservations, e.finding(reservationInfo,
				fmt.Sprintf("%d of %s held before %s", l.Quantity, l.SKU, e.Type), fmt.Sprintf("%d %s", h.quantity, h.state)))
		}
	}
}

// settledAs says how each hold must stand once a reservation is closed and no work
// is under way.
var settledAs = map[inventory.Status][]holdState{
	inventory.Refused:   {unheld, released},
	inventory.Released:  {released},
	inventory.Committed: {sold},
	inventory.Returned:  {restocked},
}

// conclude holds, at rest, every reservation to being closed and the stock to
// agreeing with it.
func (p *inventoryPart) conclude(known *orderPart) {
	for _, r := range p.reservations {
		want, closed := settledAs[r.status]
		if !closed {
			is := fmt.Sprintf("%s, the order is %s", orNone(r.status), known.status(r.id))
			p.docket.find(checkReservations, r.finding("a closed reservation", is))
			continue
		}
		for _, l := range r.lines {
			h := p.hold(l.SKU, r.id)
			ok := false
			for _, state := range want {
				ok = ok || h.state == state
			}
			if !ok {
				p.docket.find(checkReservations, r.finding(fmt.Sprintf("%s %s, as the reservation is %s", l.SKU, want[len(want)-1], r.status), string(h.state)))
			}
		}
	}
	for key, h := range p.holds {
		if p.reservations[key.order] == nil && h.state != released {
			p.docket.find(checkReservations, Finding{
				Entity: "stock " + key.sku, Subject: "evt.stock." + key.sku, Sequence: h.last,
				Expected: "a reservation of order " + key.order, Is: fmt.Sprintf("none, and %d %s", h.quantity, h.state),
			})
		}
	}
}

func (p *orderPart) status(id string) string {
	if o := p.orders[id]; o != nil {
		return orNone(o.status)
	}
	return "unknown"
}

// conserved holds, at rest, the stock on hand to what reservations say was sold and
// came back.
func (c *court) conserved() {
	gone := map[string]int64{}
	for _, r := range c.inventory.reservations {
		if r.status == inventory.Committed {
			for _, l := range r.lines {
				gone[l.SKU] += l.Quantity
			}
		}
	}
	for sku, s := range c.inventory.stock {
		c.docket.looked(checkConserved, 1)
		if s.onHand != s.adjusted-gone[sku] {
			c.docket.find(checkConserved, Finding{
				Entity: "stock " + sku, Subject: "evt.stock." + sku, Sequence: s.last,
				Expected: fmt.Sprintf("%d on hand: %d adjusted less %d in committed reservations", s.adjusted-gone[sku], s.adjusted, gone[sku]),
				Is:       fmt.Sprintf("%d on hand, %d sold, %d restocked", s.onHand, s.sold, s.restocked),
			})
		}
		delete(gone, sku)
	}
	for sku, quantity := range gone {
		if quantity > 0 {
			c.docket.find(checkConserved, Finding{Entity: "stock " + sku, Expected: "stock of which reservations sold " + number(quantity), Is: "no event of it"})
		}
	}
}

func (r *reservation) finding(expected, is string) Finding {
	return Finding{Entity: "reservation " + r.id, Subject: "evt.reservation." + r.id, Sequence: r.last, Expected: expected, Is: is}
}
