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
	available                                   []int64 // before the first event and after each
}

type holdKey struct{ sku, order string }

// hold is what an order has to do with a SKU. A late hold may come after everything
// else, as long as it goes away again.
type hold struct {
	held, sold, restocked int64
	refused               bool // a release was seen: later holds are refused
	last                  uint64
}

// String says what is.
func (h *hold) String() string {
	s := fmt.Sprintf("%d held, %d sold, %d restocked", h.held, h.sold, h.restocked)
	if h.refused {
		s += ", released"
	}
	return s
}

type reservation struct {
	id     string // the order's
	last   uint64
	status inventory.Status
	lines  []line.Line
	from   []int // where the stock of each line stood when it was opened; see opened
	held   bool  // at some time
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
		s = &stock{sku: e.id, available: []int64{0}}
		p.stock[e.id] = s
	}
	s.last = e.sequence
	p.docket.looked(checkStock, 1)
	switch v := v.(type) {
	case inventory.StockAdjusted:
		s.adjusted += v.Delta
		s.onHand += v.Delta
	case inventory.StockHeld:
		s.reserved += v.Quantity
		p.held(e, v)
	case inventory.StockHoldReleased:
		s.reserved -= v.Quantity
		p.released(e, v)
	case inventory.StockSold:
		s.reserved -= v.Quantity
		s.onHand -= v.Quantity
		s.sold += v.Quantity
		p.sold(e, v)
	case inventory.StockRestocked:
		s.onHand += v.Quantity
		s.restocked += v.Quantity
		p.restocked(e, v)
	}
	s.available = append(s.available, s.onHand-s.reserved)
	if s.reserved < 0 || s.reserved > s.onHand {
		p.docket.find(checkStock, e.finding(stockInfo, "0 ≤ reserved ≤ on hand", fmt.Sprintf("%d reserved of %d on hand after %s", s.reserved, s.onHand, e.Type)))
	}
}

func (p *inventoryPart) hold(sku, order string) *hold {
	key := holdKey{sku, order}
	h := p.holds[key]
	if h == nil {
		h = &hold{}
		p.holds[key] = h
	}
	return h
}

// moved finds what happened to a hold although it must not.
func (p *inventoryPart) moved(e event, order string, h *hold, right bool, expected string) {
	p.docket.looked(checkHolds, 1)
	if !right {
		p.docket.find(checkHolds, e.finding(stockInfo, expected+" for order "+order, fmt.Sprintf("%s %s, where there are %s", e.Type, e.Data, h)))
	}
	h.last = e.sequence
}

func (p *inventoryPart) held(e event, v inventory.StockHeld) {
	h, want := p.hold(e.id, v.OrderID), p.reserved(v.OrderID, e.id)
	p.moved(e, v.OrderID, h, h.held == 0 && v.Quantity == want && v.Quantity > 0, fmt.Sprintf("one hold of the reserved %d", want))
	h.held += v.Quantity
}

func (p *inventoryPart) released(e event, v inventory.StockHoldReleased) {
	h := p.hold(e.id, v.OrderID)
	p.moved(e, v.OrderID, h, v.Quantity == h.held, fmt.Sprintf("a release of the held %d", h.held))
	h.held, h.refused = h.held-v.Quantity, true
}

func (p *inventoryPart) sold(e event, v inventory.StockSold) {
	h := p.hold(e.id, v.OrderID)
	p.moved(e, v.OrderID, h, h.sold == 0 && v.Quantity == h.held && v.Quantity > 0, fmt.Sprintf("one sale of the held %d", h.held))
	h.held, h.sold = h.held-v.Quantity, h.sold+v.Quantity
}

func (p *inventoryPart) restocked(e event, v inventory.StockRestocked) {
	h := p.hold(e.id, v.OrderID)
	p.moved(e, v.OrderID, h, h.restocked == 0 && v.Quantity == h.sold && v.Quantity > 0, fmt.Sprintf("one return of the sold %d", h.sold))
	h.restocked += v.Quantity
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
		p.opened(r)
		p.enter(r, e, inventory.Open)
	case inventory.ReservationHeld:
		p.enter(r, e, inventory.Held)
		r.held = true
		p.allHeld(r, e)
	case inventory.ReservationRefused:
		p.enter(r, e, inventory.Refused)
		p.refused(r, e, v)
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
		if h := p.hold(l.SKU, r.id); h.held != l.Quantity {
			p.docket.find(checkReservations, e.finding(reservationInfo, fmt.Sprintf("%d of %s held before %s", l.Quantity, l.SKU, e.Type), h.String()))
		}
	}
}

// settled says how a line stands once its reservation is closed and no work is under
// way, and whether it does.
func (h *hold) settled(s inventory.Status, quantity int64) (expected string, ok bool) {
	switch s {
	case inventory.Refused:
		return "not held, not sold", h.held == 0 && h.sold == 0
	case inventory.Released:
		return "released, not sold", h.held == 0 && h.sold == 0 && h.refused
	case inventory.Committed:
		return "sold: " + number(quantity), h.held == 0 && h.sold == quantity && h.restocked == 0
	case inventory.Returned: // perhaps before it was sold
		return "restocked or released", h.held == 0 && h.sold == h.restocked
	case inventory.Open, inventory.Held:
	}
	return "", false
}

// conclude holds, at rest, every reservation to being closed and the stock to
// agreeing with it.
func (p *inventoryPart) conclude(known *orderPart) {
	for _, r := range p.reservations {
		if r.status == inventory.Open || r.status == inventory.Held || r.status == "" {
			is := fmt.Sprintf("%s, the order is %s", orNone(r.status), known.status(r.id))
			p.docket.find(checkReservations, r.finding("a closed reservation", is))
			continue
		}
		for _, l := range r.lines {
			h := p.hold(l.SKU, r.id)
			if expected, ok := h.settled(r.status, l.Quantity); !ok {
				p.docket.find(checkReservations, r.finding(fmt.Sprintf("%s %s, as the reservation is %s", l.SKU, expected, r.status), h.String()))
			}
		}
	}
	for key, h := range p.holds {
		if p.reservations[key.order] == nil && (h.held != 0 || h.sold != h.restocked) {
			p.docket.find(checkReservations, Finding{
				Entity: "stock " + key.sku, Subject: "evt.stock." + key.sku, Sequence: h.last,
				Expected: "a reservation of order " + key.order, Is: "none, and " + h.String(),
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
