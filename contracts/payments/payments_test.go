package payments_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/contracts/golden"
	"github.com/ordermesh/ordermesh/contracts/money"
	"github.com/ordermesh/ordermesh/contracts/page"
	"github.com/ordermesh/ordermesh/contracts/payments"
)

const order = "k3v5w2q7a4m6x2c3z5y7b2d4f6"

func authorize() payments.AuthorizePayment {
	return payments.AuthorizePayment{OrderID: order, Amount: money.New(2598, "EUR"), Reference: "sr1.abcd1234.AAECAwQFBgc"}
}

func TestContract(t *testing.T) {
	t.Parallel()
	amount := money.New(2598, "EUR")
	ref := payments.PaymentRef{OrderID: order}
	payment := payments.Payment{
		OrderID: order, PaymentID: "ch_7", Status: payments.Refunded,
		Amount: amount, Captured: amount, Refunded: amount, Reason: "card_declined", Version: 3,
	}
	s := golden.New(t)
	golden.Method(s, payments.Authorize, authorize(), payment)
	golden.Method(s, payments.Capture, ref, payment)
	golden.Method(s, payments.Void, ref, payment)
	part := money.In(money.New(1299, "EUR"))
	golden.Method(s, payments.Refund, payments.RefundPayment{OrderID: order, RefundID: "rf_7", Amount: &part}, payment)
	golden.Method(s, payments.Get, payments.GetPayment{OrderID: order, MinVersion: 1}, payment)
	golden.Method(s, payments.List, payments.ListPayments{
		Status: payments.Captured, Reflects: &page.Reflects{ID: order, Version: 1}, Limit: 20, Cursor: "MTIz",
	}, payments.Payments{Payments: []payments.Payment{payment}, NextCursor: "MTIz", Behind: 2})
	golden.Method(s, payments.Key, payments.GetKey{}, payments.PublicKey{KeyID: "abcd1234", Key: "AAECAwQFBgc"})
	golden.Method(s, payments.Charges, payments.ListCharges{OrderID: order, Limit: 20, Cursor: "7"}, payments.ChargePage{
		Charges: []payments.Charge{{OrderID: order, PaymentID: "ch_7", Status: payments.Captured, Amount: amount, Refunded: amount}}, NextCursor: "8",
	})
	for _, e := range []payments.Event{
		payments.PaymentAuthorized{PaymentID: "ch_7", Amount: amount},
		payments.PaymentDeclined{PaymentID: "ch_7", Reason: "card_declined"},
		payments.PaymentCaptured{Amount: amount},
		payments.PaymentVoided{},
		payments.PaymentRefunded{RefundID: "rf_7", Amount: amount},
	} {
		golden.Event(s, payments.Events, e)
	}
	s.Complete(payments.Descriptor)
}

func TestValidate(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*payments.AuthorizePayment)
		code   contract.Code
		field  string
	}{
		"no order":         {func(r *payments.AuthorizePayment) { r.OrderID = "" }, contract.Invalid, "/order_id"},
		"negative amount":  {func(r *payments.AuthorizePayment) { r.Amount.Minor = -1 }, contract.Unprocessable, "/amount/amount"},
		"unknown currency": {func(r *payments.AuthorizePayment) { r.Amount.Currency = "ZZZ" }, contract.Unprocessable, "/amount/currency"},
		"no reference":     {func(r *payments.AuthorizePayment) { r.Reference = "" }, contract.Invalid, "/reference"},
		"long reference":   {func(r *payments.AuthorizePayment) { r.Reference = strings.Repeat("x", 401) }, contract.Invalid, "/reference"},
	} {
		r := authorize()
		c.change(&r)
		var e *contract.Error
		if err := r.Validate(); !errors.As(err, &e) || e.Code != c.code || e.Field != c.field {
			t.Errorf("%s: %v, want %v at %s", name, err, c.code, c.field)
		}
	}
}

func TestValidateRefund(t *testing.T) {
	t.Parallel()
	amount := func(minor int64, currency string) *money.Input {
		in := money.In(money.New(minor, currency))
		return &in
	}
	for name, c := range map[string]struct {
		request payments.RefundPayment
		code    contract.Code
		field   string
	}{
		"no order":             {payments.RefundPayment{RefundID: "r"}, contract.Invalid, "/order_id"},
		"refund *":             {payments.RefundPayment{OrderID: order, RefundID: "*"}, contract.Invalid, "/refund_id"},
		"amount without an id": {payments.RefundPayment{OrderID: order, Amount: amount(1, "EUR")}, contract.Invalid, "/refund_id"},
		"no number":            {payments.RefundPayment{OrderID: order, RefundID: "r", Amount: &money.Input{Currency: "EUR"}}, contract.Invalid, "/amount/amount"},
		"nothing":              {payments.RefundPayment{OrderID: order, RefundID: "r", Amount: amount(0, "EUR")}, contract.Unprocessable, "/amount/amount"},
		"less than nothing":    {payments.RefundPayment{OrderID: order, RefundID: "r", Amount: amount(-1, "EUR")}, contract.Unprocessable, "/amount/amount"},
		"unknown currency":     {payments.RefundPayment{OrderID: order, RefundID: "r", Amount: amount(1, "ZZZ")}, contract.Unprocessable, "/amount/currency"},
	} {
		var e *contract.Error
		if err := c.request.Validate(); !errors.As(err, &e) || e.Code != c.code || e.Field != c.field {
			t.Errorf("%s: %v, want %v at %s", name, err, c.code, c.field)
		}
	}
	if err := (payments.RefundPayment{OrderID: order}).Validate(); err != nil {
		t.Errorf("a refund of everything: %v", err)
	}
}
