package flows_test

import (
	"errors"
	"testing"
	"time"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/contracts/flows"
	"github.com/ordermesh/ordermesh/contracts/golden"
)

var ref = flows.Ref{Service: "orders", Flow: "checkout", ID: "o1"}

func TestContract(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 24, 9, 30, 0, 0, time.UTC)
	instance := flows.Instance{
		Service: "orders", Flow: "checkout", ID: "o1", Version: 1, Status: flows.Stuck, Reason: "step authorize: no answer",
		Output: contract.Raw(`{"status":"shipped"}`), StartedAt: at, UpdatedAt: at,
		Steps: []flows.StepInfo{{Name: "reserve", Attempts: 2, Error: "unavailable", DoneAt: at}},
	}
	s := golden.New(t)
	golden.Method(s, flows.Start, flows.StartFlow{Service: "orders", Flow: "checkout", ID: "o1", Input: contract.Raw(`{"order_id":"o1"}`)}, instance)
	golden.Method(s, flows.Signal, flows.SignalFlow{
		Service: "orders", Flow: "checkout", ID: "o1", Signal: "approved", SignalID: "s1", Data: contract.Raw(`{"by":"ada"}`),
	}, instance)
	golden.Method(s, flows.Cancel, flows.CancelFlow{Service: "orders", Flow: "checkout", ID: "o1", Reason: "wrong order"}, instance)
	golden.Method(s, flows.Retry, ref, instance)
	golden.Method(s, flows.Get, ref, instance)
	golden.Method(s, flows.List, flows.ListFlows{Service: "orders", Flow: "checkout", Status: flows.Stuck, Limit: 20, Cursor: "MTIz"},
		flows.Instances{Flows: []flows.Instance{instance}, NextCursor: "MTIz", Behind: 2})
}

func TestValidate(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		request contract.Validator
		field   string
	}{
		"no service":     {flows.Ref{Flow: "f", ID: "i"}, "/service"},
		"flow *":         {flows.StartFlow{Service: "s", Flow: "*", ID: "i"}, "/flow"},
		"no id":          {flows.StartFlow{Service: "s", Flow: "f"}, "/id"},
		"no signal":      {flows.SignalFlow{Service: "s", Flow: "f", ID: "i", SignalID: "x"}, "/signal"},
		"no signal id":   {flows.SignalFlow{Service: "s", Flow: "f", ID: "i", Signal: "x"}, "/signal_id"},
		"no reason":      {flows.CancelFlow{Service: "s", Flow: "f", ID: "i"}, "/reason"},
		"unknown status": {flows.ListFlows{Status: "odd"}, "/status"},
		"service >":      {flows.ListFlows{Service: ">"}, "/service"},
	} {
		var e *contract.Error
		if err := c.request.Validate(); !errors.As(err, &e) || e.Code != contract.Invalid || e.Field != c.field {
			t.Errorf("%s: %v, want invalid at %s", name, err, c.field)
		}
	}
}
