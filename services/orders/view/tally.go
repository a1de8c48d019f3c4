package view

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/ordermesh/ordermesh/contracts/money"
	"github.com/ordermesh/ordermesh/contracts/orders"
)

// Tally counts orders into a report: one by one, or in groups that were counted before.
type Tally struct {
	q        Question
	days     map[string]map[orders.Status]int64
	revenues map[cell]*takings
	products []orders.SKUSales
	open     map[orders.Status]orders.OpenOrders
}

// cell is a day, or a product, and a currency.
type cell struct{ name, currency string }

// takings are the sums of a revenue.
type takings struct {
	orders                                           int64
	placed, captured, delivered, cancelled, refunded sum
}

// Group is orders of one day, status and currency.
type Group struct {
	Day             string
	Status          orders.Status
	Currency        string
	Orders          int64
	Total, Refunded int64 // sums that stop at the largest number
}

// NewTally begins a report.
func NewTally(q Question) *Tally {
	return &Tally{
		q: q, days: map[string]map[orders.Status]int64{}, revenues: map[cell]*takings{}, open: map[orders.Status]orders.OpenOrders{},
	}
}

// AddOrders counts orders that were placed in the range.
func (t *Tally) AddOrders(g Group) {
	if t.days[g.Day] == nil {
		t.days[g.Day] = map[orders.Status]int64{}
	}
	t.days[g.Day][g.Status] += g.Orders
	get(t.revenues, cell{g.Day, g.Currency}).count(g)
	get(t.revenues, cell{"", g.Currency}).count(g)
}

// AddProduct adds what was sold of a product in a currency, all of it.
func (t *Tally) AddProduct(p orders.SKUSales) { t.products = append(t.products, p) }

// AddOpen adds the open orders of a status, all of them.
func (t *Tally) AddOpen(o orders.OpenOrders) {
	o.Oldest = o.Oldest.UTC()
	t.open[o.Status] = o
}

// get is the value of a key, made if it is missing.
func get[V any](m map[cell]*V, key cell) *V {
	v := m[key]
	if v == nil {
		v = new(V)
		m[key] = v
	}
	return v
}

func (k *takings) count(g Group) {
	k.orders += g.Orders
	k.placed.add(g.Total)
	k.refunded.add(g.Refunded)
	if (Row{Status: g.Status}).Captured() {
		k.captured.add(g.Total)
	}
	switch g.Status {
	case orders.Delivered:
		k.delivered.add(g.Total)
	case orders.Cancelled:
		k.cancelled.add(g.Total)
	case orders.Placed, orders.Confirmed, orders.OnHold, orders.Dispatched, orders.Shipped:
	}
}

// Figures is the report. Its Behind is not filled in.
func (t *Tally) Figures() orders.Figures {
	r := orders.Figures{
		From: t.q.From, Until: t.q.Until,
		Days: []orders.Day{}, Revenue: []orders.Revenue{}, Totals: []orders.Revenue{}, TopSKUs: []orders.SKUSales{}, Open: []orders.OpenOrders{},
	}
	for _, day := range slices.Sorted(maps.Keys(t.days)) {
		r.Days = append(r.Days, dayRow(day, t.days[day]))
	}
	for _, key := range slices.SortedFunc(maps.Keys(t.revenues), byCell) {
		row := t.revenues[key].row(key)
		if key.name == "" {
			r.Totals = append(r.Totals, row)
		} else {
			r.Revenue = append(r.Revenue, row)
		}
	}
	r.TopSKUs = append(r.TopSKUs, t.top()...)
	for _, status := range orders.Statuses() {
		if o, ok := t.open[status]; ok {
			r.Open = append(r.Open, o)
		}
	}
	return r
}

func byCell(a, b cell) int {
	return cmp.Or(strings.Compare(a.name, b.name), strings.Compare(a.currency, b.currency))
}

// dayRow is a day of a report.
func dayRow(day string, byStatus map[orders.Status]int64) orders.Day {
	d := orders.Day{Day: day, ByStatus: byStatus}
	for _, n := range byStatus {
		d.Orders += n
	}
	return d
}

func (k *takings) row(key cell) orders.Revenue {
	amount := func(s sum) money.Amount { return money.New(s.value(), key.currency) }
	r := orders.Revenue{
		Day: key.name, Orders: k.orders, Placed: amount(k.placed), Captured: amount(k.captured), Delivered: amount(k.delivered),
		Cancelled: amount(k.cancelled), Refunded: amount(k.refunded),
	}
	r.Net = money.New(r.Captured.Minor-r.Refunded.Minor, key.currency)
	return r
}

// top are the products that sold the most pieces.
func (t *Tally) top() []orders.SKUSales {
	slices.SortFunc(t.products, func(a, b orders.SKUSales) int {
		return cmp.Or(cmp.Compare(b.Quantity, a.Quantity), cmp.Compare(b.Revenue.Minor, a.Revenue.Minor),
			strings.Compare(a.SKU, b.SKU), strings.Compare(a.Revenue.Currency, b.Revenue.Currency))
	})
	return t.products[:min(len(t.products), t.q.Top)]
}
