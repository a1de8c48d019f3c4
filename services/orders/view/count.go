package view

import (
	"slices"
	"time"

	"github.com/ordermesh/ordermesh/contracts/money"
	"github.com/ordermesh/ordermesh/contracts/orders"
)

// counter counts rows one by one.
type counter struct {
	*Tally

	now      time.Time
	products map[cell]*sales
	open     map[orders.Status]*orders.OpenOrders
}

type sales struct {
	orders            int64
	quantity, revenue sum
}

func newCounter(q Question) *counter {
	return &counter{Tally: NewTally(q), now: q.Now, products: map[cell]*sales{}, open: map[orders.Status]*orders.OpenOrders{}}
}

// placed counts a row that is in the range.
func (c *counter) placed(r Row) {
	c.AddOrders(Group{DayOf(r.Placed), r.Status, r.Total.Currency, 1, r.Total.Minor, r.Refunded})
	if r.Status == orders.Cancelled {
		return
	}
	for i, l := range r.Lines {
		s := get(c.products, cell{l.SKU, r.Total.Currency})
		s.quantity.add(l.Quantity)
		s.revenue.addProduct(l.Quantity, l.Price)
		if !slices.ContainsFunc(r.Lines[:i], func(before Line) bool { return before.SKU == l.SKU }) {
			s.orders++
		}
	}
}

// waiting counts an open row.
func (c *counter) waiting(r Row) {
	o := c.open[r.Status]
	if o == nil {
		o = &orders.OpenOrders{Status: r.Status}
		c.open[r.Status] = o
	}
	o.Orders++
	switch age := c.now.Sub(r.Placed); {
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

// figures is the report over all that was counted.
func (c *counter) figures() orders.Figures {
	for key, s := range c.products {
		c.AddProduct(orders.SKUSales{
			SKU: key.name, Orders: s.orders, Quantity: s.quantity.value(), Revenue: money.New(s.revenue.value(), key.currency),
		})
	}
	for _, o := range c.open {
		c.AddOpen(*o)
	}
	return c.Figures()
}
