package flow_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/flow"
)

func BenchmarkThreeSteps(b *testing.B) {
	broker := bustest.Server(b, bustest.WithStreams(streams()...))
	def := flow.Define("noop", 1, func(run *flow.Run, in args) (result, error) {
		for _, name := range []string{"one", "two", "three"} {
			if _, err := flow.Step(run, name, func(context.Context) (result, error) { return result(in), nil }); err != nil {
				return result{}, err
			}
		}
		return result(in), nil
	})
	w, err := flow.NewWorker(broker.Dial(b), service, []flow.Registered{def})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	<-w.Ready()
	c := flow.NewClient(broker.Dial(b), service)
	var next atomic.Int64
	for _, clients := range []int{1, 64} {
		b.Run(fmt.Sprint(clients), func(b *testing.B) {
			b.SetParallelism((clients + 1) / 2)
			one := func() {
				if _, err := flow.Do(b.Context(), c, def, fmt.Sprint("i", next.Add(1)), args{"x"}); err != nil {
					b.Error(err)
				}
			}
			if clients == 1 {
				for b.Loop() {
					one()
				}
				return
			}
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					one()
				}
			})
		})
	}
	cancel()
	if err := <-done; err != nil {
		b.Fatal(err)
	}
}
