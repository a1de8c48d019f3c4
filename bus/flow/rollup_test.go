package flow_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/flow"
)

// The journal of a flow without end does not grow: each generation replaces those before
// it, also where it has several pages and an alarm, and goes on after its worker.
func TestGenerationsReplaceEachOther(t *testing.T) {
	t.Parallel()
	bustest.Each(t, func(t *testing.T, b *bustest.Broker) {
		w := worldOn(t, b)
		def := flow.Define("endless", 1, func(run *flow.Run, n int) (int, error) {
			for i := range 3 { // two pages and a part of one
				if _, err := flow.Step(run, fmt.Sprint("fill", i), func(context.Context) (string, error) { return strings.Repeat("x", 6<<10), nil }); err != nil {
					return 0, err
				}
			}
			if _, err := flow.Await[string](run, "go", time.Hour); err != nil {
				return 0, err
			}
			return flow.ContinueAsNew[int](run, n+1)
		})
		worker := w.work(def)
		if _, err := flow.Start(within(t), w.client, def, "a", 0); err != nil {
			t.Fatal(err)
		}
		journal := contract.FlowLog(service, "endless", "a")
		var first uint64
		for generation := range 6 {
			bustest.Eventually(t, patience, func() bool {
				s, err := w.client.Get(within(t), "endless", "a")
				return err == nil && s.Generation == generation && s.Status == flow.Waiting
			}, "generation ", generation)
			if n := w.pending(journal); generation == 0 {
				first = n
			} else if n > first+1 {
				t.Errorf("generation %d has %d messages, the first had %d", generation, n, first)
			}
			bustest.Eventually(t, patience, func() bool { return w.pending("flow."+service+".timer.>") == 1 }, // it is set behind the record
				"one alarm of generation ", generation)
			if generation == 3 {
				worker.stop()
				worker = w.work(def)
			}
			if err := w.client.Signal(within(t), "endless", "a", "go", fmt.Sprint(generation), "now"); err != nil {
				t.Fatal(err)
			}
		}
	}, bustest.WithStreams(streams()...))
}
