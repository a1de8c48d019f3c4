package flows

import (
	"context"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/flow"
)

// engine is what the service asks of the flows of another one.
type engine interface {
	StartRaw(ctx context.Context, name string, version int, id string, input contract.Raw) error
	Cancel(ctx context.Context, name, id, reason string) error
	Retry(ctx context.Context, name, id string) error
	Get(ctx context.Context, name, id string) (flow.State, error)
}

// client is the engine's client with a start whose types are not known here.
type client struct{ *flow.Client }

// StartRaw starts an instance with its input as JSON.
func (c client) StartRaw(ctx context.Context, name string, version int, id string, input contract.Raw) error {
	_, err := flow.Start(ctx, c.Client, flow.Declare[contract.Raw, contract.Raw](name, version), id, input)
	return err
}
