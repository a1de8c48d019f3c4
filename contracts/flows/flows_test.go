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
		Error:     &flows.Problem{Code: "conflict", Reason: "order_placed", Message: "order is already placed"},
		Result:    contract.Raw(`{"status":"shipped"}`),
		Report:    contract.Raw(`{"parcels":2}`),
		Wait:      &flows.Wait{Kind: "signal", Name: "approved", Since: at, Due: at.Add(time.Hour)},
		StartedAt: at, UpdatedAt: at, Deadline: at.Add(2 * time.Hour), Generation: 3, ResultBytes: 300_000, StepsBefore: 7, EndedAt: at, Condensed: true, Signals: []string{"late"},
		Steps: []flows.StepInfo{{Kind: "step", Name: "reserve", Done: true, Attempts: 2, Error: "unavailable", TimedOut: true, At: at, Due: at}},
	}
	s := golden.New(t)
	golden.Method(s, flows.Start, flows.StartFlow{Service: "orders", Flow: "checkout", ID: "o1", Input: contract.Raw(`{"order_id":"o1"}`)}, instance)
	golden.Method(s, flows.Signal, flows.SignalFlow{
		Service: "orders", Flow: "checkout", ID: "o1", Signal: "approved", SignalID: "s1", Data: contract.Raw(`{"by":"ada"}`),
	}, instance)
	golden.Method(s, flows.Cancel, flows.CancelFlow{Service: "orders", Flow: "checkout", ID: "o1", Reason: "wrong order"}, instance)
	golden.Method(s, flows.Retry, ref, instance)
	golden.Method(s, flows.Get, ref, instance)
	golden.Method(s, flows.List, flows.ListFlows{
		Service: "orders", Flow: "checkout", Status: flows.Stuck, OlderThan: "1h30m", StartedAfter: at, Limit: 20, Cursor: "MTIz",
	}, flows.Instances{Flows: []flows.Instance{instance}, NextCursor: "MTIz", Behind: 2, Forgotten: 3})
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
		"age 0":          {flows.ListFlows{OlderThan: "0s"}, "/older_than"},
		"age -1h":        {flows.ListFlows{YoungerThan: "-1h"}, "/younger_than"},
		"age 1":          {flows.ListFlows{YoungerThan: "1"}, "/younger_than"},
		"age 101 years":  {flows.ListFlows{OlderThan: "884760h"}, "/older_than"},
		"two ends":       {flows.ListFlows{OlderThan: "1h", StartedBefore: time.Unix(1, 0)}, "/started_before"},
		"two beginnings": {flows.ListFlows{YoungerThan: "1h", StartedAfter: time.Unix(1, 0)}, "/started_after"},
	} {
		var e *contract.Error
		if err := c.request.Validate(); !errors.As(err, &e) || e.Code != contract.Invalid || e.Field != c.field {
			t.Errorf("%s: %v, want invalid at %s", name, err, c.field)
		}
	}
}

func TestStarted(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	noon := now.Add(-time.Hour)
	for name, c := range map[string]struct {
		list     flows.ListFlows
		from, to time.Time
	}{
		"everything": {},
		"ages":       {flows.ListFlows{OlderThan: "1h", YoungerThan: "3h"}, now.Add(-3 * time.Hour), noon},
		"times":      {flows.ListFlows{StartedBefore: now, StartedAfter: noon}, noon, now},
	} {
		from, to, err := c.list.Started(now)
		if err != nil || !from.Equal(c.from) || !to.Equal(c.to) {
			t.Errorf("%s: %v to %v, %v; want %v to %v", name, from, to, err, c.from, c.to)
		}
	}
}
