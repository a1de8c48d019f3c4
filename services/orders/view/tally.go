package view

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/ordermesh/ordermesh/contracts/money"
	"github.com/ordermesh/ordermesh/contracts/orders"
)

// tally counts rows into a report.
type tally struct {
	q        Question
	days     map[string]map[orders.Status]int64
	revenues map[cell]*takings
	products map[cell]*sales
	open     map[orders.Status]*orders.OpenOrders
}

// cell is a day, or a product, and a currency.
type cell struct{ name, currency string }

// takings are the sums of a revenue.
type takings struct {
	orders                                           int64
	placed, captured, delivered, cancelled, refunded sum
}

type sales struct {
	orders            int64
	quantity, revenue sum
}

func newTally(q Question) *tally {
	return &tally{
		q: q, days: map[string]map[orders.Status]int64{}, revenues: map[cell]*takings{}, products: map[cell]*sales{},
		open: map[orders.Status]*orders.OpenOrders{},
	}
}

// placed counts a row that is in the range.
func (t *tally) placed(r Row) {
	day := DayOf(r.Placed)
	if t.days[day] == nil {
		t.days[day] = map[orders.Status]int64{}
	}
	t.days[day][r.Status]++
	get(t.revenues, cell{day, r.Total.Currency}).count(r)
	get(t.revenues, cell{"", r.Total.Currency}).count(r)
	if r.Status == orders.Cancelled {
		return
	}
	for i, l := range r.Lines {
		s := get(t.products, cell{l.SKU, r.Total.Currency})
		s.quantity.add(l.Quantity)
		s.revenue.addProduct(l.Quantity, l.Price)
		if !slices.ContainsFunc(r.Lines[:i], func(before Line) bool { return before.SKU == l.SKU }) {
			s.orders++
		}
	}
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

func (k *takings) count(r Row) {
	k.orders++
	k.placed.add(r.Total.Minor)
	k.refunded.add(r.Refunded)
	if r.Captured() {
		k.captured.add(r.Total.Minor)
	}
	switch r.Status {
	case orders.Delivered:
		k.delivered.add(r.Total.Minor)
	case orders.Cancelled:
		k.cancelled.add(r.Total.Minor)
	case orders.Placed, orders.Confirmed, orders.OnHold, orders.Dispatched, orders.Shipped:
	}
}

// waiting counts an open row.
func (t *tally) waiting(r Row) {
	o := t.open[r.Status]
	if o == nil {
		o = &orders.OpenOrders{Status: r.Status}
		t.open[r.Status] = o
	}
	o.Orders++
	switch age := t.q.Now.Sub(r.Placed); {
	case age < Hour:
		o.Under1Hour++
	case age < Day:
		o.Under1Day++
	case age < Days3:
		o.Under3Days++
	case age < Days7:
		o.Under7Days++
	default:
		o.Older++
	}
	if o.OldestOrder == "" || r.Placed.Before(o.Oldest) || (r.Placed.Equal(o.Oldest) && r.ID < o.OldestOrder) {
		o.Oldest, o.OldestOrder = r.Placed, r.ID
	}
}

func (t *tally) report() orders.Figures {
	r := orders.Figures{
		From: t.q.From, Until: t.q.Until,
		Days: []orders.Day{}, Revenue: []orders.Revenue{}, Totals: []orders.Revenue{}, TopSKUs: []orders.SKUSales{}, Open: []orders.OpenOrders{},
	}
	for _, day := range slices.Sorted(maps.Keys(t.days)) {
		r.Days = append(r.Days, DayRow(day, t.days[day]))
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
		if o := t.open[status]; o != nil {
			r.Open = append(r.Open, *o)
		}
	}
	return r
}

func byCell(a, b cell) int {
	return cmp.Or(strings.Compare(a.name, b.name), strings.Compare(a.currency, b.currency))
}

// DayRow is a day of a report.
func DayRow(day string, byStatus map[orders.Status]int64) orders.Day {
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
func (t *tally) top() []orders.SKUSales {
	var list []orders.SKUSales
	for key, s := range t.products {
		list = append(list, orders.SKUSales{
			SKU: key.name, Orders: s.orders, Quantity: s.quantity.value(), Revenue: money.New(s.revenue.value(), key.currency),
		})
	}
	slices.SortFunc(list, func(a, b orders.SKUSales) int {
		return cmp.Or(cmp.Compare(b.Quantity, a.Quantity), cmp.Compare(b.Revenue.Minor, a.Revenue.Minor),
			strings.Compare(a.SKU, b.SKU), strings.Compare(a.Revenue.Currency, b.Revenue.Currency))
	})
	return list[:min(len(list), t.q.Top)]
}
