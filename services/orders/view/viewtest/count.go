package viewtest

import (
	"math"
	"math/big"
	"sort"
	"time"

	"github.com/ordermesh/ordermesh/contracts/money"
	"github.com/ordermesh/ordermesh/contracts/orders"
	"github.com/ordermesh/ordermesh/services/orders/view"
)

// total adds numbers and stops at the largest.
func total(numbers ...int64) int64 {
	sum := new(big.Int)
	for _, n := range numbers {
		sum.Add(sum, big.NewInt(n))
	}
	if !sum.IsInt64() {
		return math.MaxInt64
	}
	return sum.Int64()
}

func taken(o *Order) bool {
	return o.Status == orders.Dispatched || o.Status == orders.Shipped || o.Status == orders.Delivered
}

func (w *World) currencies(of []*Order) []string {
	seen := map[string]bool{}
	for _, o := range of {
		seen[o.Total.Currency] = true
	}
	var list []string
	for currency := range seen {
		list = append(list, currency)
	}
	sort.Strings(list)
	return list
}

// those are the orders that pass.
func (w *World) those(pass func(*Order) bool) []*Order {
	var list []*Order
	for _, o := range w.sorted(false) {
		if pass(o) {
			list = append(list, o)
		}
	}
	return list
}

func (w *World) summary(customer string) view.Summary {
	var s view.Summary
	own := w.those(func(o *Order) bool { return o.Customer == customer })
	for _, o := range own {
		if s.Orders++; s.Orders == 1 {
			s.First = o.Placed
		}
		if o.Status == orders.Cancelled {
			s.Cancelled++
		}
		if o.Status == orders.Delivered {
			s.Delivered++
		}
	}
	for _, currency := range w.currencies(own) {
		var captured, refunded []int64
		for _, o := range own {
			if taken(o) && o.Total.Currency == currency {
				captured, refunded = append(captured, o.Total.Minor), append(refunded, o.Refunded)
			}
		}
		if total(captured...) > 0 {
			s.Spent = append(s.Spent, money.New(total(captured...)-total(refunded...), currency))
		}
	}
	return s
}

func (w *World) report(q view.Question) orders.Figures {
	mine := func(o *Order) bool { return q.Customer == "" || o.Customer == q.Customer }
	found := w.those(func(o *Order) bool { return mine(o) && !o.Placed.Before(q.From) && o.Placed.Before(q.Until) })
	r := orders.Figures{
		From: q.From, Until: q.Until,
		Days: []orders.Day{}, Revenue: []orders.Revenue{}, Totals: revenues("", w.currencies(found), found),
		TopSKUs: sales(found), Open: []orders.OpenOrders{},
	}
	r.TopSKUs = r.TopSKUs[:min(len(r.TopSKUs), q.Top)]
	for len(found) > 0 {
		day := found[0].Placed.Format("2006-01-02")
		n := sort.Search(len(found), func(i int) bool { return found[i].Placed.Format("2006-01-02") > day })
		byStatus := map[orders.Status]int64{}
		for _, o := range found[:n] {
			byStatus[o.Status]++
		}
		r.Days = append(r.Days, orders.Day{Day: day, Orders: int64(n), ByStatus: byStatus})
		r.Revenue = append(r.Revenue, revenues(day, w.currencies(found[:n]), found[:n])...)
		found = found[n:]
	}
	for _, status := range orders.Statuses() {
		waiting := w.those(func(o *Order) bool { return mine(o) && o.Status == status })
		if len(waiting) > 0 && status != orders.Delivered && status != orders.Cancelled {
			r.Open = append(r.Open, ages(status, waiting, q.Now))
		}
	}
	return r
}

func revenues(day string, currencies []string, list []*Order) []orders.Revenue {
	rows := []orders.Revenue{}
	for _, currency := range currencies {
		var placed, captured, delivered, cancelled, refunded []int64
		for _, o := range list {
			if o.Total.Currency != currency {
				continue
			}
			placed, refunded = append(placed, o.Total.Minor), append(refunded, o.Refunded)
			if taken(o) {
				captured = append(captured, o.Total.Minor)
			}
			if o.Status == orders.Delivered {
				delivered = append(delivered, o.Total.Minor)
			}
			if o.Status == orders.Cancelled {
				cancelled = append(cancelled, o.Total.Minor)
			}
		}
		in := func(numbers []int64) money.Amount { return money.New(total(numbers...), currency) }
		rows = append(rows, orders.Revenue{
			Day: day, Orders: int64(len(placed)), Placed: in(placed), Captured: in(captured), Delivered: in(delivered),
			Cancelled: in(cancelled), Refunded: in(refunded), Net: money.New(total(captured...)-total(refunded...), currency),
		})
	}
	return rows
}

func sales(list []*Order) []orders.SKUSales {
	type product struct{ sku, currency string }
	ordered := map[product]map[string]bool{}
	quantities, revenue := map[product][]int64{}, map[product]*big.Int{}
	for _, o := range list {
		for _, l := range o.Lines {
			if o.Status == orders.Cancelled {
				continue
			}
			p := product{l.SKU, o.Total.Currency}
			if ordered[p] == nil {
				ordered[p], revenue[p] = map[string]bool{}, new(big.Int)
			}
			ordered[p][o.ID] = true
			quantities[p] = append(quantities[p], l.Quantity)
			revenue[p].Add(revenue[p], new(big.Int).Mul(big.NewInt(l.Quantity), big.NewInt(l.UnitPrice.Minor)))
		}
	}
	rows := []orders.SKUSales{}
	for p := range ordered {
		minor := int64(math.MaxInt64)
		if revenue[p].IsInt64() {
			minor = revenue[p].Int64()
		}
		rows = append(rows, orders.SKUSales{
			SKU: p.sku, Orders: int64(len(ordered[p])), Quantity: total(quantities[p]...), Revenue: money.New(minor, p.currency),
		})
	}
	sort.Slice(rows, func(i, j int) bool {
		a, b := rows[i], rows[j]
		switch {
		case a.Quantity != b.Quantity:
			return a.Quantity > b.Quantity
		case a.Revenue.Minor != b.Revenue.Minor:
			return a.Revenue.Minor > b.Revenue.Minor
		case a.SKU != b.SKU:
			return a.SKU < b.SKU
		}
		return a.Revenue.Currency < b.Revenue.Currency
	})
	return rows
}

func ages(status orders.Status, list []*Order, now time.Time) orders.OpenOrders {
	row := orders.OpenOrders{Status: status, Orders: int64(len(list)), Oldest: list[0].Placed, OldestOrder: list[0].ID}
	for _, o := range list {
		switch hours := now.Sub(o.Placed).Hours(); {
		case hours < 1:
			row.Under1Hour++
		case hours < 24:
			row.Under1Day++
		case hours < 72:
			row.Under3Days++
		case hours < 168:
			row.Under7Days++
		default:
			row.Older++
		}
	}
	return row
}
