package orders

import (
	"context"
	"fmt"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/failpoint"
	"github.com/ordermesh/ordermesh/bus/flow"
	"github.com/ordermesh/ordermesh/services/orders/domain"
)

// none is the result of a step that only has an effect.
type none struct{}

// effect runs a step that only has an effect, under the step's own key.
func effect(run *flow.Run, step, orderID string, do func(ctx context.Context, key, orderID string) error, opts ...flow.StepOption) error {
	key := run.Key(step)
	_, err := flow.Step(run, step, func(ctx context.Context) (none, error) {
		err := do(ctx, key, orderID)
		failpoint.Hit("orders." + step + "_done")
		return none{}, err
	}, opts...)
	return err
}

// note runs one of the order's own commands as a step. It is a cheap one: a command that
// the order knows changes nothing, whatever came after it.
func note(run *flow.Run, orders *entity, step, orderID string, command domain.Command) error {
	return effect(run, step, orderID, func(ctx context.Context, key, orderID string) error {
		_, _, err := orders.Do(ctx, orderID, key, command)
		return err
	}, flow.WithCheap())
}

// insist makes a refusal an error that is tried again.
func insist(err error) error {
	if contract.IsRefusal(err) {
		return fmt.Errorf("after the point of no return: %s", err.Error())
	}
	return err
}
