package judge

import (
	"fmt"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/contracts/money"
	"github.com/ordermesh/ordermesh/contracts/payments"
)

// paymentPart folds the stream PAYMENTS.
type paymentPart struct {
	*history
	payments map[string]*payment
}

type payment struct {
	id         string // the order's
	last       uint64 // sequence of its last event
	events     int
	paymentID  string // the provider's charge
	authorized money.Amount
	captured   money.Amount
	refunded   money.Amount
	refunds    map[string]money.Amount // by the refund's id
	declined   bool
	voided     bool
}

var paymentInfo = payments.Events.Info()

func (p *paymentPart) hear(m message) {
	p.take(m, []contract.EventsInfo{paymentInfo}, func(_ contract.EventsInfo, e event) {
		v, ok := decoded(p.history, payments.Events, e)
		if !ok {
			return
		}
		pay := p.payments[e.id]
		if pay == nil {
			pay = &payment{id: e.id}
			p.payments[e.id] = pay
		}
		p.docket.looked(checkPayments, 1)
		if wrong := pay.apply(v); wrong != "" {
			p.docket.find(checkPayments, e.finding(paymentInfo, wrong, e.Type+" "+string(e.Data)))
		}
		pay.last = e.sequence
		pay.events++
	})
}

// apply folds one event and says what it should have been, "" if it is right.
func (p *payment) apply(v payments.Event) (wrong string) {
	switch v := v.(type) {
	case payments.PaymentAuthorized:
		if p.events > 0 {
			wrong = "an authorization as the first event"
		} else if v.PaymentID == "" || v.Amount.Minor < 0 {
			wrong = "an authorization of an amount under the provider's id"
		}
		p.authorized, p.paymentID = v.Amount, v.PaymentID
	case payments.PaymentDeclined:
		if p.events > 0 {
			wrong = "a refusal as the first event"
		}
		p.declined, p.paymentID = true, v.PaymentID
	case payments.PaymentVoided:
		if p.voided || !p.captured.IsZero() {
			wrong = "no voiding of a payment that is " + p.state()
		}
		p.voided = true
	case payments.PaymentCaptured:
		switch {
		case p.voided || p.declined || p.authorized.IsZero() || !p.captured.IsZero():
			wrong = "no capture of a payment that is " + p.state()
		case !within(v.Amount, p.authorized):
			wrong = "a capture of at most " + p.authorized.String()
		}
		p.captured = v.Amount
	case payments.PaymentRefunded:
		sum, err := p.refunded.Add(v.Amount)
		if err != nil || p.captured.IsZero() || !within(sum, p.captured) || v.Amount.Minor < 0 {
			wrong = fmt.Sprintf("refunds of at most the captured %s, %s refunded before", p.captured, p.refunded)
		}
		if _, twice := p.refunds[v.RefundID]; twice {
			wrong = "a refund id that is new"
		}
		if p.refunds == nil {
			p.refunds = map[string]money.Amount{}
		}
		p.refunds[v.RefundID], p.refunded = v.Amount, sum
	}
	return wrong
}

// within reports whether 0 ≤ a ≤ limit in the same currency.
func within(a, limit money.Amount) bool {
	return a.Currency == limit.Currency && 0 <= a.Minor && a.Minor <= limit.Minor
}

// open reports whether money is reserved and neither taken nor given back.
func (p *payment) open() bool {
	return !p.authorized.IsZero() && p.captured.IsZero() && !p.voided
}

// net is what the customer has paid in the end.
func (p *payment) net() int64 { return p.captured.Minor - p.refunded.Minor }

func (p *payment) state() string {
	switch {
	case p.refunded.Minor > 0:
		return "refunded"
	case !p.captured.IsZero():
		return "captured"
	case p.voided:
		return "voided"
	case p.declined:
		return "declined"
	case !p.authorized.IsZero():
		return "authorized"
	}
	return "not authorized"
}

func (p *payment) finding(expected, is string) Finding {
	return Finding{Entity: "payment " + p.id, Subject: "evt.payment." + p.id, Sequence: p.last, Expected: expected, Is: is}
}
