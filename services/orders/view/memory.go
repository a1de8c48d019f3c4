package view

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/ordermesh/ordermesh/bus/view"
	"github.com/ordermesh/ordermesh/contracts/orders"
)

// Memory is the view in memory. What a customer has ordered is kept up to date with
// the rows; a report goes through the rows in its range.
type Memory struct {
	*view.Memory[Row]

	mu        sync.RWMutex // rows and customers move together
	customers map[string]*history
	texts     map[string]string // of rows and names of lists: each text is kept once
}

// NewMemory returns an empty view.
func NewMemory() *Memory {
	return &Memory{Memory: view.NewMemory[Row](), customers: map[string]*history{}, texts: map[string]string{}}
}

// Apply implements view.Store.
func (m *Memory) Apply(ctx context.Context, from, to view.Checkpoint, changes []view.Change[Row]) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	keys := make([]string, len(changes))
	for i := range changes {
		keys[i] = changes[i].Key
	}
	before, err := m.Rows(ctx, keys...)
	if err != nil {
		return err
	}
	changes = slices.Clone(changes)
	for i := range changes {
		old, known := before[changes[i].Key]
		m.share(&changes[i], old, known)
	}
	if err := m.Memory.Apply(ctx, from, to, changes); err != nil {
		return err
	}
	for i := range changes {
		if old, known := before[changes[i].Key]; known {
			m.customer(old.Row.Customer).count(old.Row, -1)
		}
		m.customer(changes[i].Row.Customer).count(changes[i].Row, +1)
	}
	return nil
}

// share puts the texts of what is there already in the place of equal ones: a row comes
// with a copy of its own of each, which would stay in memory beside the others.
func (m *Memory) share(c *view.Change[Row], old view.Entry[Row], known bool) {
	r := &c.Row
	r.Customer = m.shared(r.Customer)
	if known {
		c.Key = old.Key
	}
	if len(old.Row.Lines) == 0 {
		r.Lines = slices.Clone(r.Lines)
		for i := range r.Lines {
			r.Lines[i].SKU = m.shared(r.Lines[i].SKU)
		}
	}
	r.ID, r.Status, r.Total.Currency = c.Key, orders.Status(m.shared(string(r.Status))), m.shared(r.Total.Currency)
	c.Places = slices.Clone(c.Places)
	for i := range c.Places {
		p := &c.Places[i]
		if p.List = m.shared(p.List); p.Order == c.Key {
			p.Order = c.Key
		}
	}
}

func (m *Memory) shared(text string) string {
	if known, ok := m.texts[text]; ok {
		return known
	}
	m.texts[text] = text
	return text
}

func (m *Memory) customer(id string) *history {
	h := m.customers[id]
	if h == nil {
		h = &history{}
		m.customers[id] = h
	}
	return h
}

// Reset implements view.Store.
func (m *Memory) Reset(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.customers, m.texts = map[string]*history{}, map[string]string{}
	return m.Memory.Reset(ctx)
}

// Customer implements Store.
func (m *Memory) Customer(ctx context.Context, id string) (Summary, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	h := m.customers[id]
	if h == nil || h.orders == 0 {
		return Summary{}, nil
	}
	var first time.Time
	page, err := m.Page(ctx, view.Query{List: List{Customer: id}.Name(), Limit: 1})
	if len(page) > 0 {
		first = page[0].Row.Placed
	}
	return h.summary(first), err
}

// Report implements Store.
func (m *Memory) Report(ctx context.Context, q Question) (orders.Figures, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	c := newCounter(q)
	err := m.each(ctx, List{Customer: q.Customer}, view.Moment(q.From), view.Moment(q.Until), c.placed)
	for _, status := range orders.Statuses() {
		if err == nil && (Row{Status: status}).Open() {
			err = m.each(ctx, List{Customer: q.Customer, Status: status}, "", "", c.waiting)
		}
	}
	if err != nil {
		return orders.Figures{}, err
	}
	return c.figures(), nil
}

// chunk is how many rows are looked at between two looks at the context.
const chunk = 512

// each visits the rows of a list from a place in it until another, "" for its end.
func (m *Memory) each(ctx context.Context, list List, from, until string, visit func(Row)) error {
	q := view.Query{List: list.Name(), Limit: chunk, From: from, Until: until}
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		page, err := m.Page(ctx, q)
		if err != nil {
			return err
		}
		for i := range page {
			visit(page[i].Row)
		}
		if len(page) < chunk {
			return nil
		}
		last := page[len(page)-1]
		q.After = view.Position{Order: last.Order, Key: last.Key}
	}
}
