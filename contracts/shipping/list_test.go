package shipping_test

import (
	"errors"
	"testing"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/contracts/page"
	"github.com/ordermesh/ordermesh/contracts/shipping"
)

func TestValidateReads(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		req   contract.Validator
		field string
	}{
		"get >":         {shipping.GetShipment{OrderID: ">"}, "/order_id"},
		"get version":   {shipping.GetShipment{OrderID: "o", MinVersion: page.MaxVersion + 1}, "/min_version"},
		"list status":   {shipping.ListShipments{Status: "odd"}, "/status"},
		"list reflects": {shipping.ListShipments{Reflects: &page.Reflects{ID: "a.b"}}, "/reflects/id"},
		"list limit":    {shipping.ListShipments{Limit: page.MaxLimit + 1}, "/limit"},
	} {
		var e *contract.Error
		if err := c.req.Validate(); !errors.As(err, &e) || e.Code != contract.Invalid || e.Field != c.field {
			t.Errorf("%s: %v, want a refusal at %s", name, err, c.field)
		}
	}
	for _, status := range shipping.Statuses() {
		if err := (shipping.ListShipments{Status: status}).Validate(); err != nil {
			t.Errorf("%s: %v", status, err)
		}
	}
}
