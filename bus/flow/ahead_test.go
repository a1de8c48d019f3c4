package flow_test

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/ordermesh/ordermesh/bus/flow"
	"github.com/ordermesh/ordermesh/bus/flow/flowtest"
)

// slowLog stores journal messages with a certain text only when it is told to, or
// after a while.
type slowLog struct {
	*flowtest.Log
	text string

	mu     sync.Mutex
	stored bool
}

func (l *slowLog) Append(msg *nats.Msg, expect uint64, done func(uint64, error)) {
	if !strings.Contains(msg.Subject, ".log.") || !bytes.Contains(msg.Data, []byte(l.text)) {
		l.Log.Append(msg, expect, done)
		return
	}
	time.AfterFunc(200*time.Millisecond, func() {
		l.mu.Lock()
		l.stored = true
		l.mu.Unlock()
		l.Log.Append(msg, expect, done)
	})
}

func (l *slowLog) has() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stored
}

// A flow runs ahead of its journal, but not past a compensation: a crash must not find
// it cancelled at a point before what is to be undone.
func TestNoStepRunsAheadOfACompensation(t *testing.T) {
	t.Parallel()
	for name, compensated := range map[string]bool{"with a compensation": true, "without": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			log := &slowLog{Log: flowtest.NewLog(), text: `"name":"first"`}
			ahead := false
			def := flow.Define("two", 1, func(run *flow.Run, in args) (result, error) {
				nothing := func(context.Context) error { return nil }
				flow.Compensate(run, "undo-first", nothing)
				if _, err := flow.Step(run, "first", func(context.Context) (int, error) { return 1, nil }); err != nil {
					return result{}, err
				}
				if compensated {
					flow.Compensate(run, "undo-second", nothing)
				}
				_, err := flow.Step(run, "second", func(context.Context) (int, error) {
					ahead = !log.has()
					return 2, nil
				})
				return result(in), err
			})
			state, ok, err := flow.Rehearsal{Flow: def, ID: "a", Input: args{"x"}, Log: log}.Run(within(t))
			if err != nil || !ok || state.Status != flow.Completed {
				t.Fatalf("%+v, %v, %v", state, ok, err)
			}
			if ahead == compensated {
				t.Errorf("the second step ran before the first one's result was stored: %v", ahead)
			}
		})
	}
}
