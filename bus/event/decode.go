package event

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/telemetry"
)

// ErrForeign reports a message on an entity's subject that the mesh did not write.
var ErrForeign = errors.New("not a commit of the mesh")

// commit is a message after its envelope was checked.
type commit struct {
	id      string
	header  contract.CommitHeader
	body    contract.Commit
	authors authors
}

// open checks and reads the envelope of a message: subject, headers, body. The error
// wraps ErrForeign when the message does not even claim to be a commit,
// contract.ErrUnknownEvent when a newer version wrote it, and anything else when it
// is damaged.
func open(info contract.EventsInfo, m *nats.Msg) (commit, error) {
	var c commit
	id, ok := info.EntityID(m.Subject)
	if !ok {
		return c, fmt.Errorf("%w: subject %q", ErrForeign, m.Subject)
	}
	if len(m.Header[contract.HeaderVersion]) == 0 {
		return c, fmt.Errorf("%w: no header %s", ErrForeign, contract.HeaderVersion)
	}
	c.id = id
	var err error
	if c.header, err = contract.ParseCommitHeader(m.Header); err != nil {
		return c, err
	}
	if c.body, err = contract.DecodeCommit(m.Data); err != nil {
		return c, err
	}
	if n := c.header.Last - c.header.First + 1; n != uint64(len(c.body.Events)) {
		return c, fmt.Errorf("%w: versions %d to %d, but %d events", contract.ErrNotCommit, c.header.First, c.header.Last, len(c.body.Events))
	}
	if c.authors, err = parseAuthors(m.Header, len(c.body.Events)); err != nil {
		return c, err
	}
	return c, nil
}

// Decode reads the events of one message, for those who read a stream without a
// handler. What can be read is returned also when there is an error: it wraps
// ErrForeign when the message is not a commit of the mesh, contract.ErrUnknownEvent
// for what a newer version wrote, and says what is damaged.
func Decode[E any](events contract.Events[E], m *nats.Msg, sequence uint64) ([]Event[E], error) {
	co, err := open(events.Info(), m)
	if err != nil {
		return nil, err
	}
	list := make([]Event[E], 0, len(co.body.Events))
	var errs []error
	for i := range co.body.Events {
		e, err := decodeEvent(events, &co, i)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		e.Sequence, e.Attempt = sequence, 1
		list = append(list, e)
	}
	return list, errors.Join(errs...)
}

// decodeEvent reads one event of a commit.
func decodeEvent[E any](events contract.Events[E], co *commit, i int) (Event[E], error) {
	r := &co.body.Events[i]
	data, err := events.Decode(r.Type, r.Data)
	if err != nil {
		return Event[E]{}, err
	}
	return Event[E]{
		Entity: events.Info().Entity, ID: co.id, EventID: r.ID, Type: r.Type, Command: r.Command, At: r.At,
		Version: co.header.First + uint64(i), //nolint:gosec // i is an index
		Data:    data, Actor: co.authors.of(i),
	}, nil
}

// verdict is the outcome of a message, or of its first event that is not done.
type verdict struct {
	Outcome
	cause string // why it is a dead letter; "" lets the number of failures decide
	index int    // the event within the commit
	id    string // the event's id, "" when the message cannot be read
	typ   string
	more  bool // further events follow
}

// run handles the events of a message from d.next on and stops at the first that is
// not done.
func (c *Consumer[E]) run(ctx context.Context, d *delivery, handle func(context.Context, Event[E]) Outcome) verdict {
	co, err := open(c.core.info, d.msg)
	switch {
	case errors.Is(err, ErrForeign):
		c.core.foreign(d, err)
		return verdict{}
	case errors.Is(err, contract.ErrUnknownEvent):
		return verdict{Outcome: Reject(err), cause: CauseNewer}
	case err != nil:
		return verdict{Outcome: Reject(err), cause: CauseDamaged}
	}
	ctx = telemetry.ExtractTrace(ctx, d.msg.Header)
	last := len(co.body.Events)
	if d.only {
		last = min(d.next+1, last)
	}
	for i := d.next; i < last; i++ {
		if v := c.one(ctx, d, &co, i, handle); v.kind != kindDone {
			v.index, v.id, v.typ, v.more = i, co.body.Events[i].ID, co.body.Events[i].Type, i+1 < last
			return v
		}
		if d.next = i + 1; d.failures > 0 {
			d.failures = 0
		}
	}
	return verdict{}
}

// one decodes and handles one event.
func (c *Consumer[E]) one(ctx context.Context, d *delivery, co *commit, i int, handle func(context.Context, Event[E]) Outcome) verdict {
	typ := co.body.Events[i].Type
	if c.core.opts.types != nil && !c.core.opts.types[typ] {
		return verdict{}
	}
	e, err := decodeEvent(c.events, co, i)
	switch {
	case errors.Is(err, contract.ErrUnknownEvent):
		return verdict{Outcome: Reject(err), cause: CauseNewer}
	case err != nil:
		return verdict{Outcome: Reject(err), cause: CauseDamaged}
	}
	e.Sequence, e.Attempt = d.sequence, d.attempt
	if len(co.authors) > 0 {
		ctx = telemetry.WithActor(ctx, e.Actor)
	}
	return verdict{Outcome: c.core.call(ctx, typ, func(ctx context.Context) Outcome { return handle(ctx, e) })}
}
