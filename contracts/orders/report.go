package orders

import (
	"time"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/contracts/money"
	"github.com/ordermesh/ordermesh/contracts/page"
)

// Report is the method orders.report. Who acts for a customer gets a report about
// that customer's orders.
var Report = contract.NewMethod[ReportOrders, Figures]("orders", "report", contract.Lists(),
	contract.Doc("counts orders per day and status, what they brought, what sold best and how long open orders have been waiting"))

// Limits of a report.
const (
	DefaultReportRange = 30 * 24 * time.Hour
	MaxReportRange     = 366 * 24 * time.Hour
	DefaultTop         = 10
	MaxTop             = 100
	MaxRevenues        = 2000 // rows of revenue, one for each day and currency
)

// ReportOrders asks for a report about the orders that were placed in a range of time.
// Without an end it is now, without a beginning thirty days before the end.
type ReportOrders struct {
	CustomerID string         `json:"customer_id,omitzero"`
	From       time.Time      `json:"from,omitzero"`     // placed at this time or later
	Until      time.Time      `json:"until,omitzero"`    // placed before this time
	Reflects   *page.Reflects `json:"reflects,omitzero"` // an order that the report must have seen
	Top        int            `json:"top,omitzero"`      // products in the list of those that sold best; 10 if absent
}

// Validate refuses malformed filters and ranges.
func (r ReportOrders) Validate() error {
	if r.CustomerID != "" {
		if err := contract.CheckID("/customer_id", r.CustomerID); err != nil {
			return err
		}
	}
	if r.Top < 0 || r.Top > MaxTop {
		return contract.ErrInvalid.At("/top").Sayf("top must be 1 to %d", MaxTop)
	}
	if err := r.Reflects.Check("/reflects"); err != nil {
		return err
	}
	if !r.From.IsZero() && !r.Until.IsZero() {
		if err := checkRange(r.From, r.Until); err != nil {
			return err
		}
	}
	return nil
}

// Range is the range of times that is asked for at a moment: from is in it, until is not.
func (r ReportOrders) Range(now time.Time) (from, until time.Time, err error) {
	from, until = r.From, r.Until
	if until.IsZero() {
		until = now
	}
	if from.IsZero() {
		from = until.Add(-DefaultReportRange)
	}
	return from, until, checkRange(from, until)
}

func checkRange(from, until time.Time) error {
	switch {
	case !from.Before(until):
		return contract.ErrInvalid.At("/until").Sayf("until must be after from")
	case until.Sub(from) > MaxReportRange:
		return contract.ErrInvalid.At("/until").Sayf("until must be at most 366 days after from")
	}
	return nil
}

// Figures are about the orders that were placed in a range of time, but for Open. Days
// are calendar days in UTC.
type Figures struct {
	From    time.Time    `json:"from"`
	Until   time.Time    `json:"until"`
	Days    []Day        `json:"days"`            // those with orders, the first day first
	Revenue []Revenue    `json:"revenue"`         // for each day and currency with orders
	Totals  []Revenue    `json:"totals"`          // for each currency, over all days
	TopSKUs []SKUSales   `json:"top_skus"`        // the most pieces first
	Open    []OpenOrders `json:"open"`            // of all orders, whenever they were placed
	Behind  uint64       `json:"behind"`          // messages that this view has not seen yet
	Halted  bool         `json:"halted,omitzero"` // the view stands still until somebody mends it; see mesh view status
}

// Day counts the orders that were placed on a day by the status that they have now.
type Day struct {
	Day      string           `json:"day"` // such as 2026-11-24
	Orders   int64            `json:"orders"`
	ByStatus map[Status]int64 `json:"by_status"`
}

// Revenue sums up the totals of orders that were placed on a day, by what became of
// them: Captured is what was taken, Delivered the part of it that has arrived, Refunded
// the part that was given back; Net = Captured - Refunded. What is neither captured nor
// cancelled is still open. A sum that is larger than the number stops there.
type Revenue struct {
	Day       string       `json:"day,omitzero"` // none in totals
	Orders    int64        `json:"orders"`
	Placed    money.Amount `json:"placed"`    // all of them
	Captured  money.Amount `json:"captured"`  // dispatched, shipped or delivered
	Delivered money.Amount `json:"delivered"` // delivered
	Cancelled money.Amount `json:"cancelled"` // cancelled: nothing was taken, or all of it given back
	Refunded  money.Amount `json:"refunded"`  // given back of delivered orders
	Net       money.Amount `json:"net"`
}

// SKUSales is what was sold of a product in a currency: the lines of orders that are not
// cancelled, at the prices at which they were placed.
type SKUSales struct {
	SKU      string       `json:"sku"`
	Orders   int64        `json:"orders"`
	Quantity int64        `json:"quantity"`
	Revenue  money.Amount `json:"revenue"`
}

// OpenOrders counts orders that are neither delivered nor cancelled by the time since
// they were placed.
type OpenOrders struct {
	Status      Status    `json:"status"`
	Orders      int64     `json:"orders"`
	Under1Hour  int64     `json:"under_1h"`
	Under1Day   int64     `json:"under_1d"` // and not under an hour, and so on
	Under3Days  int64     `json:"under_3d"`
	Under7Days  int64     `json:"under_7d"`
	Older       int64     `json:"older"`
	Oldest      time.Time `json:"oldest"`       // when the oldest of them was placed
	OldestOrder string    `json:"oldest_order"` // and its id
}
