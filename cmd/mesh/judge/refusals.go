package judge

import (
	"fmt"
	"slices"

	"github.com/ordermesh/ordermesh/contracts/inventory"
)

// opened notes how far the stock of each line had come when a reservation was opened.
// Whoever decides on a line later has seen at least this.
func (p *inventoryPart) opened(r *reservation) {
	r.from = make([]int, len(r.lines))
	for i, l := range r.lines {
		if s := p.stock[l.SKU]; s != nil {
			r.from[i] = len(s.available) - 1
		}
	}
}

// refused holds a refusal to the truth: at some moment since the reservation was
// opened there was less of the SKU than it wanted. A refusal from an old memory of
// the stock loses a sale, and nothing else in the streams would tell.
func (p *inventoryPart) refused(r *reservation, e event, v inventory.ReservationRefused) {
	p.docket.looked(checkRefusals, 1)
	for i, l := range r.lines {
		if l.SKU != v.Short {
			continue
		}
		s := p.stock[l.SKU]
		if s == nil { // there never was any
			return
		}
		if least := slices.Min(s.available[r.from[i]:]); least >= l.Quantity {
			p.docket.find(checkRefusals, e.finding(reservationInfo,
				fmt.Sprintf("less than %d of %s available at some moment since it was opened", l.Quantity, l.SKU),
				fmt.Sprintf("never less than %d", least)))
		}
		return
	}
	p.docket.find(checkRefusals, e.finding(reservationInfo, "a short SKU that is reserved", orNone(v.Short)))
}
