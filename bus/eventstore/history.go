package eventstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/ordermesh/ordermesh/bus/contract"
)

// History returns every event of an entity, oldest first; none when it does not
// exist. It reads them all from the log, and reflects everything that was
// acknowledged before the call.
func (e *Entity[S, C, E]) History(ctx context.Context, id string) ([]Recorded[E], error) {
	return e.HistoryAfter(ctx, id, 0)
}

// HistoryAfter is History without what was stored at or before a sequence of the
// stream: for those who know when it began that concerns them.
func (e *Entity[S, C, E]) HistoryAfter(ctx context.Context, id string, sequence uint64) ([]Recorded[E], error) {
	subject, err := e.info.Subject(id)
	if err != nil {
		return nil, err
	}
	last, err := e.retry(ctx, &slot[S, C]{subject: subject}, true)
	if err != nil {
		return nil, e.readError(ctx, err)
	}
	var history []Recorded[E]
	err = e.read(ctx, subject, sequence, last.Sequence, func(m Message) error {
		history, err = e.recorded(history, subject, sequence == 0, m)
		return err
	})
	return history, e.readError(ctx, err)
}

func (e *Entity[S, C, E]) readError(ctx context.Context, err error) error {
	switch {
	case err == nil, contractError(err) && ctx.Err() == nil:
		return err
	case ctx.Err() != nil:
		return over(ctx)
	}
	return fmt.Errorf("%w: %w", contract.ErrUnavailable, err)
}

// recorded appends the events of one message; whole says that the first event must be
// the entity's first.
func (e *Entity[S, C, E]) recorded(to []Recorded[E], subject string, whole bool, m Message) ([]Recorded[E], error) {
	h, c, err := parseCommit(m)
	var before uint64
	if len(to) > 0 {
		before = to[len(to)-1].Version
	}
	switch {
	case errors.Is(err, contract.ErrNotCommit):
		e.report(subject, m, err)
		return to, nil
	case err != nil:
		return nil, newer(subject, err)
	case h.First != before+1 && (whole || len(to) > 0):
		return nil, fmt.Errorf("%s: message %d: %w: versions %d-%d after %d", subject, m.Sequence, ErrBrokenHistory, h.First, h.Last, before)
	}
	actors, err := Actors(m.Header, len(c.Events))
	if err != nil {
		return nil, newer(subject, err)
	}
	for i, r := range c.Events {
		data, err := e.events.Decode(r.Type, r.Data)
		if err != nil {
			return nil, newer(subject, err)
		}
		to = append(to, Recorded[E]{
			ID: r.ID, Type: r.Type, Command: r.Command, At: r.At,
			Version: h.First + uint64(i), Sequence: m.Sequence, Data: data, Actor: actors[i],
		})
	}
	return to, nil
}

// Actors returns who caused each of the n events of a commit with these headers.
func Actors(h nats.Header, n int) ([]contract.Actor, error) {
	several := h.Values(HeaderActors)
	if len(several) == 0 {
		one, err := contract.ParseActor(h.Get(contract.HeaderActor))
		return slices.Repeat([]contract.Actor{one}, n), err
	}
	actors := make([]contract.Actor, 0, n)
	for _, value := range several {
		count, encoded, _ := strings.Cut(value, " ")
		events, err := strconv.Atoi(count)
		if err != nil || events < 1 || events > n-len(actors) {
			return nil, fmt.Errorf("header %s does not match %d events", HeaderActors, n)
		}
		one, err := contract.ParseActor(encoded)
		if err != nil {
			return nil, err
		}
		actors = append(actors, slices.Repeat([]contract.Actor{one}, events)...)
	}
	if len(actors) != n {
		return nil, fmt.Errorf("header %s does not match %d events", HeaderActors, n)
	}
	return actors, nil
}
