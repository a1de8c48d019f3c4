package event

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/telemetry"
)

// headerActors stands in for Mesh-Actor when a commit holds commands of several
// actors: values "<number of events> <actor>", in order.
const headerActors = "Mesh-Actors"

// authors says who caused each event of a commit: spans in order, each with the
// number of events up to its end.
type authors []authorSpan

type authorSpan struct {
	end   int
	actor contract.Actor
}

// of returns who caused the event at index i.
func (a authors) of(i int) contract.Actor {
	for _, s := range a {
		if i < s.end {
			return s.actor
		}
	}
	return contract.Actor{}
}

// parseAuthors reads the headers of a commit with n events.
func parseAuthors(h nats.Header, n int) (authors, error) {
	several := h[headerActors]
	if len(several) == 0 {
		one, err := telemetry.ActorOf(h)
		if err != nil || len(h[contract.HeaderActor]) == 0 {
			return nil, err
		}
		return authors{{n, one}}, nil
	}
	var list authors
	end := 0
	for _, value := range several {
		count, encoded, _ := strings.Cut(value, " ")
		events, err := strconv.Atoi(count)
		if err != nil || events < 1 || events > n-end {
			return nil, fmt.Errorf("%w: header %s does not match %d events", contract.ErrNotCommit, headerActors, n)
		}
		actor, err := contract.ParseActor(encoded)
		if err != nil {
			return nil, err
		}
		end += events
		list = append(list, authorSpan{end, actor})
	}
	if end != n {
		return nil, fmt.Errorf("%w: header %s does not match %d events", contract.ErrNotCommit, headerActors, n)
	}
	return list, nil
}
