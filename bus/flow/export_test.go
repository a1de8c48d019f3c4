package flow

import (
	"context"
	"fmt"
	"time"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/contract"
)

// Scheduling is the flow that schedules are, for tests of crashes, with its types.
var Scheduling = scheduling

type (
	Plan = plan
	None = none
)

// PlanOf is the input of a schedule's flow.
func PlanOf(s Schedule) Plan { return s.plan }

// WithOrphans sets how long a large value stays that nothing refers to.
func WithOrphans(d time.Duration) Option {
	return func(o *workerOptions) error { o.retention.orphan = d; return nil }
}

// BuryInputs does the first half of what makes a result record out of a flow that has
// ended: what a crash in between leaves.
func BuryInputs(ctx context.Context, conn *bus.Conn, service, name, id string) error {
	e := &engine{service: service, log: streamLog{conn}, partitions: contract.FlowPartitions}
	last, err := e.log.Last(ctx, contract.FlowLog(service, name, id))
	if err != nil {
		return err
	}
	p, err := decodePage(last.Data)
	if err != nil || !p.Status.Ended() {
		return fmt.Errorf("the flow is %s: %w", p.Status, err)
	}
	return e.bury(ctx, p, defaultRetention())
}
