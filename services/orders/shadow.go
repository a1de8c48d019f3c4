package orders

import (
	"context"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/event"
	"github.com/ordermesh/ordermesh/bus/view"
	"github.com/ordermesh/ordermesh/contracts/orders"
	ordersview "github.com/ordermesh/ordermesh/services/orders/view"
)

// Shadow asks rules about orders of the past, without effect. It is told the stream of
// orders from its beginning, and so knows of each customer what was known when an order
// was placed. It is for one goroutine.
type Shadow struct {
	rules  *Rules
	wanted func(id string, placed orders.OrderPlaced) bool
	seen   *ordersview.Memory // nil when no rule asks for customers
	fold   view.Fold[orders.Event, ordersview.Row]
	at     view.Checkpoint
}

// Shadowed is an order and what the rules would have said about it.
type Shadowed struct {
	OrderID string
	Placed  orders.OrderPlaced // with what was said then, nil without rules
	Would   *orders.Acceptance // what would have been said; its revision is 0
}

// Stored is a message of the stream of orders.
type Stored struct {
	Subject  string
	Header   contract.Header
	Body     []byte
	Sequence uint64
}

// NewShadow returns a shadow of the rules, which are asked about the orders that are
// wanted.
func NewShadow(rules *Rules, wanted func(id string, placed orders.OrderPlaced) bool) *Shadow {
	s := &Shadow{rules: rules, wanted: wanted, fold: ordersview.Fold()}
	if rules.Uses(customerVariable) {
		s.seen = ordersview.NewMemory()
	}
	return s
}

// Take takes the next message of the stream, which may be of anything. If a wanted order
// was placed with it, asked is true and the rules have answered.
func (s *Shadow) Take(ctx context.Context, m Stored) (answer Shadowed, asked bool, err error) {
	id, ok := orders.Events.Info().EntityID(m.Subject)
	if !ok {
		return Shadowed{}, false, nil
	}
	head, err := contract.ParseCommitHeader(m.Header)
	if err != nil || (s.seen == nil && head.First > 1) {
		return Shadowed{}, false, nil //nolint:nilerr // it is no order's
	}
	commit, err := contract.DecodeCommit(m.Body)
	if err != nil {
		return Shadowed{}, false, nil //nolint:nilerr // it is no order's
	}
	events := decoded(id, head.First, m.Sequence, commit)
	for _, e := range events {
		placed, ok := e.Data.(orders.OrderPlaced)
		if asked = ok && s.wanted(id, placed); asked {
			if answer, err = s.ask(ctx, id, placed); err != nil {
				return Shadowed{}, false, err
			}
			break
		}
	}
	return answer, asked, s.note(ctx, id, m.Sequence, events)
}

// decoded are the events of a commit that this build knows.
func decoded(id string, first, sequence uint64, commit contract.Commit) (list []event.Event[orders.Event]) {
	for i, r := range commit.Events {
		if data, err := orders.Events.Decode(r.Type, r.Data); err == nil {
			list = append(list, event.Event[orders.Event]{
				ID: id, Type: r.Type, Command: r.Command, At: r.At, Version: first + uint64(i), Sequence: sequence, Data: data,
			})
		}
	}
	return list
}

// note adds events to what is known of customers.
func (s *Shadow) note(ctx context.Context, id string, sequence uint64, events []event.Event[orders.Event]) error {
	if s.seen == nil {
		return nil
	}
	rows, err := s.seen.Rows(ctx, id)
	if err != nil {
		return err
	}
	entry := rows[id]
	for _, e := range events {
		entry.Key, entry.Version, entry.Row = id, e.Version, s.fold.Apply(entry.Row, e)
	}
	to := view.Checkpoint{Sequence: sequence}
	err = s.seen.Apply(ctx, s.at, to, []view.Change[ordersview.Row]{{Entry: entry, Places: s.fold.Lists(entry.Row)}})
	s.at = to
	return err
}

// ask evaluates the rules over what was known then.
func (s *Shadow) ask(ctx context.Context, id string, placed orders.OrderPlaced) (Shadowed, error) {
	var history *orders.CustomerHistory
	if s.seen != nil {
		summary, err := s.seen.Customer(ctx, placed.CustomerID)
		if err != nil {
			return Shadowed{}, err
		}
		history = HistoryOf(summary, placed)
		if said := placed.Acceptance; said != nil && said.Customer != nil {
			history = said.Customer
		}
	}
	return Shadowed{OrderID: id, Placed: placed, Would: Judge(s.rules, 0, placed, history)}, nil
}
