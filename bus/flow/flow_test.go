package flow_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/flow"
)

const service = "shop"

func streams() []contract.StreamSpec {
	return contract.Streams(contract.Service{Name: service, Flows: []contract.FlowInfo{{Name: "any", Version: 1}}})
}

type args struct {
	Text string `json:"text"`
}

type result struct {
	Text string `json:"text"`
}

// run starts a worker and waits until it takes inputs; the returned function ends it
// and waits for it.
func run(t *testing.T, conn *bus.Conn, flows ...flow.Registered) (stop func()) {
	t.Helper()
	w, err := flow.NewWorker(conn, service, flows)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				t.Error("worker:", err)
			}
		})
	}
	t.Cleanup(stop)
	select {
	case <-w.Ready():
	case <-time.After(30 * time.Second):
		t.Fatal("the worker did not become ready")
	}
	return stop
}

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestThreeSteps(t *testing.T) {
	t.Parallel()
	bustest.Each(t, func(t *testing.T, b *bustest.Broker) {
		var calls atomic.Int64
		def := flow.Define("three", 1, func(run *flow.Run, in args) (result, error) {
			text := in.Text
			for i := range 3 {
				s, err := flow.Step(run, fmt.Sprint("s", i), func(context.Context) (string, error) {
					calls.Add(1)
					return fmt.Sprint(i), nil
				})
				if err != nil {
					return result{}, err
				}
				text += s
			}
			return result{text}, nil
		})
		run(t, b.Dial(t), def)
		c := flow.NewClient(b.Dial(t), service)
		for i := range 20 {
			id := fmt.Sprint("id", i)
			for range 2 {
				out, err := flow.Do(within(t), c, def, id, args{"x"})
				if err != nil || out.Text != "x012" {
					t.Fatalf("got %+v, %v", out, err)
				}
			}
		}
		if n := calls.Load(); n != 60 {
			t.Errorf("steps ran %d times, want 60", n)
		}
		if _, err := flow.Do(within(t), c, def, "id0", args{"y"}); !errors.Is(err, flow.ErrOtherInput) {
			t.Errorf("another input: %v", err)
		}
		state, err := c.Get(within(t), "three", "id0")
		if err != nil || state.Status != flow.Completed || len(state.Steps) != 3 {
			t.Errorf("state %+v, %v", state, err)
		}
	}, bustest.WithStreams(streams()...))
}
