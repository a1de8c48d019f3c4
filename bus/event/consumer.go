package event

import (
	"context"
	"errors"
	"fmt"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/contract"
)

// Consumer is a durable consumer of one entity's events. Processes that run a
// consumer with the same durable name share its work.
type Consumer[E any] struct {
	core   *core
	events contract.Events[E]
}

// NewConsumer describes a consumer; nothing happens before Run. durable names it in
// its stream, for people and permissions, such as "orders-delivered".
func NewConsumer[E any](conn *bus.Conn, events contract.Events[E], durable string, opts ...Option) (*Consumer[E], error) {
	if !contract.ValidID(durable) {
		return nil, fmt.Errorf("event: %q cannot name a consumer: 1 to %d of A-Z a-z 0-9 _ -", durable, contract.MaxID)
	}
	o, err := buildOptions(opts)
	if err != nil {
		return nil, err
	}
	return &Consumer[E]{core: newCore(conn, events.Info(), durable, o), events: events}, nil
}

// Run delivers events to handle until ctx ends; then it stops taking work, lets
// running handlers finish, gives back what was not started, flushes the
// acknowledgements and returns nil. It creates the durable consumer if it is missing
// and waits for a stream that does not exist yet; a durable that exists with another
// meaning is a [*DriftError]. handle runs concurrently. Run is called once.
func (c *Consumer[E]) Run(ctx context.Context, handle func(ctx context.Context, e Event[E]) Outcome) error {
	if handle == nil {
		return errors.New("event: a consumer needs a handler")
	}
	return c.core.run(ctx, func(ctx context.Context, d *delivery) verdict { return c.run(ctx, d, handle) })
}

// Ready is closed when the durable exists and pulling has begun.
func (c *Consumer[E]) Ready() <-chan struct{} { return c.core.ready }
