package flows

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/view"
	"github.com/ordermesh/ordermesh/contracts/flows"
	"github.com/ordermesh/ordermesh/contracts/page"
)

// errStarting is answered before the view knows how far behind it is.
var errStarting = contract.ErrUnavailable.Sayf("the list is not ready yet; try again")

// list answers a page of flows, those that started last first.
func (s *Service) list(ctx context.Context, req flows.ListFlows) (flows.Instances, error) {
	if err := internal(ctx); err != nil {
		return flows.Instances{}, err
	}
	if err := s.named(req.Service, req.Flow); err != nil {
		return flows.Instances{}, err
	}
	behind, known := s.follower.Behind()
	if !known {
		return flows.Instances{}, errStarting
	}
	q := query{service: req.Service, flow: req.Flow, status: req.Status, limit: page.Size(req.Limit)}
	var err error
	if q.from, q.to, err = req.Started(time.Now()); err != nil {
		return flows.Instances{}, err
	}
	if q.after, err = parseCursor(cursorList(req), req.Cursor); err != nil {
		return flows.Instances{}, err
	}
	answer := flows.Instances{Behind: behind}
	var more bool
	answer.Flows, more, answer.Forgotten = s.index.page(q)
	if more {
		last := answer.Flows[len(answer.Flows)-1]
		answer.NextCursor = view.Cursor(cursorList(req), view.Position{
			Order: strconv.FormatInt(last.StartedAt.UnixMilli(), 10), Key: strings.Join([]string{last.Service, last.Flow, last.ID}, "/"),
		})
	}
	return answer, nil
}

// named refuses filters for services and flows that nobody knows: an empty list would
// hide a slip of the pen.
func (s *Service) named(service, name string) error {
	if service != "" && s.targets[service] == nil {
		return flows.ErrNoService.At("/service").Sayf("no service %s runs flows: there is %s", service, enumerate(s.targets))
	}
	if name == "" {
		return nil
	}
	for other, t := range s.targets {
		if (service == "" || service == other) && t.has(name) {
			return nil
		}
	}
	return flows.ErrNoFlow.At("/flow").Sayf("there is no flow %s here", name)
}

// cursorList ties a cursor to what it goes through.
func cursorList(req flows.ListFlows) string {
	return strings.Join([]string{req.Service, req.Flow, string(req.Status)}, "/")
}

func parseCursor(list, cursor string) (position, error) {
	at, err := view.ParseCursor(list, cursor)
	if err != nil || at.IsZero() {
		return position{}, err
	}
	started, err := strconv.ParseInt(at.Order, 10, 64)
	if err != nil {
		return position{}, view.ErrCursor.At("/cursor")
	}
	return position{started, at.Key}, nil
}
