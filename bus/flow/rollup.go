package flow

import (
	"context"
	"errors"

	"github.com/nats-io/nats.go"

	"github.com/ordermesh/ordermesh/bus/contract"
)

// errNoMessage reports that a message of the stream is not there any more.
var errNoMessage = errors.New("the message is gone")

// A generation begins with a message that has everything, and by which the server removes
// what the former generations wrote: the journal of a flow without end does not grow.

// rollUp makes the message that was just built remove those before it, if it is the
// first of a generation; j.mu is held.
func (j *journal) rollUp() {
	if !j.fresh {
		return
	}
	if j.msg.Header == nil {
		j.msg.Header = nats.Header{}
	}
	j.msg.Header[headerRollup] = []string{rollupSub}
}

// movedOn reports whether a page is gone because a former owner, with its last word, has
// begun another generation since the last page was read; otherwise the error stands.
func (in *instance) movedOn(ctx context.Context, sequence uint64, gone error) (bool, error) {
	last, err := in.eng.log.Last(ctx, contract.FlowLog(in.eng.service, in.name, in.id))
	if err != nil {
		return false, err
	}
	if last.Sequence == sequence {
		return false, gone
	}
	return true, nil
}

// rolledUp is called when the message under way is stored; j.mu is held.
func (j *journal) rolledUp() {
	if j.msg.Header != nil && len(j.msg.Header[headerRollup]) > 0 {
		j.fresh = false
	}
}
