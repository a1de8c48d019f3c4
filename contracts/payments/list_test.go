package payments_test

import (
	"errors"
	"testing"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/contracts/page"
	"github.com/ordermesh/ordermesh/contracts/payments"
)

func TestValidateReads(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		req   contract.Validator
		field string
	}{
		"get >":         {payments.GetPayment{OrderID: ">"}, "/order_id"},
		"get version":   {payments.GetPayment{OrderID: "o", MinVersion: page.MaxVersion + 1}, "/min_version"},
		"list status":   {payments.ListPayments{Status: "odd"}, "/status"},
		"list reflects": {payments.ListPayments{Reflects: &page.Reflects{ID: "a.b"}}, "/reflects/id"},
		"list limit":    {payments.ListPayments{Limit: page.MaxLimit + 1}, "/limit"},
	} {
		var e *contract.Error
		if err := c.req.Validate(); !errors.As(err, &e) || e.Code != contract.Invalid || e.Field != c.field {
			t.Errorf("%s: %v, want a refusal at %s", name, err, c.field)
		}
	}
	for _, status := range payments.Statuses() {
		if err := (payments.ListPayments{Status: status}).Validate(); err != nil {
			t.Errorf("%s: %v", status, err)
		}
	}
}
