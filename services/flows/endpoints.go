package flows

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/flow"
	"github.com/ordermesh/ordermesh/bus/telemetry"
	"github.com/ordermesh/ordermesh/contracts/flows"
)

// emptyInput is the input of a flow that is started without one.
var emptyInput = contract.Raw(`{}`)

func (s *Service) start(ctx context.Context, req flows.StartFlow) (flows.Instance, error) {
	t, err := s.find(ctx, req.Ref())
	if err != nil {
		return flows.Instance{}, err
	}
	input := req.Input
	if len(input) == 0 {
		input = emptyInput
	}
	if t.versions[req.Flow] == 0 {
		return flows.Instance{}, flows.ErrNoFlow.At("/flow").Sayf("the flow %s is not started from outside", req.Flow)
	}
	if err := t.check(req.Flow, input); err != nil {
		return flows.Instance{}, err
	}
	if err := t.engine.StartRaw(ctx, req.Flow, t.versions[req.Flow], req.ID, input); err != nil {
		return flows.Instance{}, blamed(err)
	}
	return t.show(ctx, req.Ref())
}

// check refuses an input that the flow could do nothing with.
func (t *target) check(name string, input contract.Raw) error {
	def := t.inputs[name]
	if def == nil {
		return nil
	}
	err := flow.CheckInput(def, input)
	if e, ok := errors.AsType[*contract.Error](err); ok {
		return e.At("/input" + e.Field)
	}
	return err
}

// signal leaves it to the engine that a signal id is taken once.
func (s *Service) signal(ctx context.Context, req flows.SignalFlow) (flows.Instance, error) {
	t, err := s.find(ctx, req.Ref())
	if err != nil {
		return flows.Instance{}, err
	}
	var data any
	if len(req.Data) > 0 {
		data = req.Data
	}
	if err := t.engine.Signal(ctx, req.Flow, req.ID, req.Signal, req.SignalID, data); err != nil {
		return flows.Instance{}, blamed(err)
	}
	return t.show(ctx, req.Ref())
}

func (s *Service) cancel(ctx context.Context, req flows.CancelFlow) (flows.Instance, error) {
	t, err := s.find(ctx, req.Ref())
	if err != nil {
		return flows.Instance{}, err
	}
	if err := t.engine.Cancel(ctx, req.Flow, req.ID, req.Reason); err != nil {
		return flows.Instance{}, blamed(err)
	}
	return t.show(ctx, req.Ref())
}

// retry refuses what would change nothing: a flow that goes on by itself.
func (s *Service) retry(ctx context.Context, req flows.Ref) (flows.Instance, error) {
	t, err := s.find(ctx, req)
	if err != nil {
		return flows.Instance{}, err
	}
	now, err := t.show(ctx, req)
	switch {
	case err != nil:
		return flows.Instance{}, err
	case now.Status.Ended():
		return flows.Instance{}, flows.ErrEnded.At("/id").Sayf("the flow %s %s has ended: %s", req.Flow, req.ID, now.Status)
	case now.Status != flows.Stuck:
		return flows.Instance{}, flows.ErrNotStuck.At("/id").Sayf("the flow %s %s is not stuck but %s", req.Flow, req.ID, now.Status)
	}
	if err := t.engine.Retry(ctx, req.Flow, req.ID); err != nil {
		return flows.Instance{}, blamed(err)
	}
	return t.show(ctx, req)
}

func (s *Service) get(ctx context.Context, req flows.Ref) (flows.Instance, error) {
	t, err := s.find(ctx, req)
	if err != nil {
		return flows.Instance{}, err
	}
	return t.show(ctx, req)
}

// find returns the service that runs the flow, for those who may know of it.
func (s *Service) find(ctx context.Context, ref flows.Ref) (*target, error) {
	if err := internal(ctx); err != nil {
		return nil, err
	}
	t := s.targets[ref.Service]
	if t == nil {
		return nil, flows.ErrNoService.At("/service").Sayf("no service %s runs flows: there is %s", ref.Service, enumerate(s.targets))
	}
	if !t.has(ref.Flow) {
		return nil, flows.ErrNoFlow.At("/flow").Sayf("the service %s has no flow %s: it has %s", ref.Service, ref.Flow, enumerate(t.versions))
	}
	return t, nil
}

// internal refuses who acts for a customer: flows show what is behind orders.
func internal(ctx context.Context) error {
	if telemetry.ActorFrom(ctx).For != "" {
		return flows.ErrCustomer
	}
	return nil
}

// enumerate lists names in a sentence that stays short.
func enumerate[V any](names map[string]V) string {
	const most = 8
	list := slices.Sorted(maps.Keys(names))
	switch {
	case len(list) == 0:
		return "none"
	case len(list) > most:
		list = append(list[:most], "…")
	}
	return strings.Join(list, ", ")
}

// blamed names the field that is to blame for an engine's refusal.
func blamed(err error) error {
	var e *contract.Error
	if !errors.As(err, &e) || e.Field != "" {
		return err
	}
	switch {
	case errors.Is(e, flows.ErrUnknown), errors.Is(e, flows.ErrEnded):
		return e.At("/id")
	case errors.Is(e, flows.ErrOtherInput):
		return e.At("/input")
	}
	return err
}
