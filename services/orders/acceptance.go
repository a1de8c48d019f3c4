package orders

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/config"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/rule"
	"github.com/ordermesh/ordermesh/bus/telemetry"
	"github.com/ordermesh/ordermesh/contracts/orders"
	"github.com/ordermesh/ordermesh/services/orders/domain"
	ordersview "github.com/ordermesh/ordermesh/services/orders/view"
)

// Rules decide about new orders.
type Rules = rule.Set[orders.AcceptanceVariables]

// NewRuleEnv is the language of the rules.
func NewRuleEnv() (*rule.Env[orders.AcceptanceVariables], error) {
	return rule.NewEnv[orders.AcceptanceVariables]()
}

// customerVariable is the name of what costs a look at the view.
const customerVariable = "customer"

// acceptance decides about new orders by the rules of the moment. Without rules it costs
// one atomic load.
type acceptance struct {
	document  *config.Document[*Rules]
	view      ordersview.Store
	listed    *listing
	read      atomic.Bool // the view has been up to date once
	decided   map[orders.Outcome]counter
	telemetry *telemetry.Telemetry
}

func newAcceptance(conn *bus.Conn, view ordersview.Store, listed *listing) (*acceptance, error) {
	env, err := NewRuleEnv()
	if err != nil {
		return nil, err
	}
	document, err := config.NewDocument(conn, contract.PolicyKey(orders.Descriptor.Name, orders.AcceptancePolicy), env.Parse, nil)
	if err != nil {
		return nil, err
	}
	a := &acceptance{document: document, view: view, listed: listed, decided: map[orders.Outcome]counter{}, telemetry: conn.Telemetry()}
	decided := conn.Telemetry().Counter("orders_decided_total", "New orders by what the rules said.", "outcome")
	for _, o := range []orders.Outcome{orders.OutcomeAccept, orders.OutcomeHold, orders.OutcomeReject} {
		a.decided[o] = decided.WithLabelValues(string(o))
	}
	return a, nil
}

// decide adds to an order that is about to be placed what the rules say of it.
func (a *acceptance) decide(ctx context.Context, c *domain.Place) error {
	rules, revision := a.document.Get()
	if rules == nil {
		return nil
	}
	placed, err := c.Placed()
	if err != nil {
		return nil //nolint:nilerr // it will not be stored, and storing says why
	}
	if !rules.Uses(customerVariable) {
		c.Acceptance = Judge(rules, revision, placed, nil)
	} else {
		summary, err := a.customer(ctx, placed.CustomerID)
		switch {
		case errors.Is(err, orders.ErrHistory):
			return err
		case err != nil:
			c.Acceptance = Failed(revision, fmt.Errorf("the customer's history: %w", err))
		default:
			c.Acceptance = Judge(rules, revision, placed, HistoryOf(summary, placed))
		}
	}
	a.note(ctx, c.Acceptance)
	return nil
}

// customerShare is how much of the time that is left for placing an order may be spent on
// finding out about its customer.
const customerShare = 2

// customer reads what is known of a customer.
func (a *acceptance) customer(ctx context.Context, id string) (ordersview.Summary, error) {
	if deadline, ok := ctx.Deadline(); ok {
		share, cancel := context.WithTimeout(ctx, time.Until(deadline)/customerShare)
		defer cancel()
		ctx = share
	}
	if err := a.awaitView(ctx); err != nil {
		return ordersview.Summary{}, err
	}
	return a.view.Customer(ctx, id)
}

// note counts a decision, and logs a rule that failed.
func (a *acceptance) note(ctx context.Context, d *orders.Acceptance) {
	a.decided[d.Outcome].Inc()
	if d.Error != "" {
		a.telemetry.Logger.ErrorContext(ctx, "a rule about new orders cannot be evaluated; the order is held",
			"rule", d.Rule, "revision", d.Revision, telemetry.KeyError, telemetry.Escape(d.Error))
	}
}

// The view is not read from the beginning yet while it is more messages behind than this;
// once it was closer, it is what it is.
const (
	closeEnough = 256
	lookAgain   = 10 * time.Millisecond
)

// awaitView waits until the view has once been up to date since this instance started:
// until then every customer would look like a new one.
func (a *acceptance) awaitView(ctx context.Context) error {
	for !a.read.Load() {
		if behind, known := a.listed.Behind(); known && behind <= closeEnough {
			a.read.Store(true)
			break
		}
		select {
		case <-time.After(lookAgain):
		case <-ctx.Done():
			return orders.ErrHistory
		}
	}
	return nil
}

// Judge evaluates rules of a revision over an order and what is known of its customer.
func Judge(rules *Rules, revision uint64, placed orders.OrderPlaced, history *orders.CustomerHistory) *orders.Acceptance {
	input := placed.RuleInput(history)
	d := rules.Decide(&input)
	if d.Err != nil {
		failed := Failed(revision, d.Err)
		failed.Rule, failed.Customer = d.Rule, history
		return failed
	}
	said := &orders.Acceptance{Outcome: orders.Outcome(d.Outcome), Rule: d.Rule, Revision: revision, Customer: history}
	if d.Outcome != rule.Accept {
		said.Reason = cmp.Or(d.Reason, orders.ReasonNoRule)
	}
	return said
}

// maxFailure is how much of a failure is kept with the order.
const maxFailure = 200

// Failed is the decision when no rule could be asked: a person must decide.
func Failed(revision uint64, err error) *orders.Acceptance {
	text := err.Error()
	return &orders.Acceptance{
		Outcome: orders.OutcomeHold, Reason: orders.ReasonRuleFailed, Revision: revision, Error: text[:min(len(text), maxFailure)],
	}
}

// HistoryOf is what rules see of a customer who is about to place an order.
func HistoryOf(s ordersview.Summary, placed orders.OrderPlaced) *orders.CustomerHistory {
	h := &orders.CustomerHistory{
		Orders: s.Orders, Cancelled: s.Cancelled, Delivered: s.Delivered, Spent: s.SpentIn(placed.Total.Currency), Since: s.First,
	}
	if h.Since.IsZero() {
		h.Since = placed.PlacedAt
	}
	return h
}

// refusal is the answer about an order that the rules have rejected; it is stored, and
// cancelled.
func refusal(id string, a *orders.Acceptance) error {
	if a == nil || a.Outcome != orders.OutcomeReject {
		return nil
	}
	return orders.ErrNotAccepted.Sayf("the order %s is not accepted: %s", id, a.Reason)
}

// noteOf says in an order's history what the rules have decided.
func noteOf(a *orders.Acceptance) string {
	if a == nil {
		return ""
	}
	by := "by no rule"
	if a.Rule != "" {
		by = "by rule " + a.Rule
	}
	return string(a.Outcome) + " " + by + ", revision " + strconv.FormatUint(a.Revision, 10)
}
