package flow_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/flow"
	"github.com/ordermesh/ordermesh/embedded/natsd"
)

// serveExample runs a server and a worker for the flows of an example until stop.
func serveExample(flows []flow.Registered, opts ...flow.Option) (client *flow.Client, stop func()) {
	dir, err := os.MkdirTemp("", "mesh")
	if err != nil {
		log.Fatal(err)
	}
	server, err := natsd.Start(natsd.Config{Port: -1, StoreDir: dir})
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	conn, err := bus.Dial(ctx, bus.Config{URL: server.URL(), Service: "office"})
	if err != nil {
		log.Fatal(err)
	}
	office := contract.Service{Name: "office", Flows: []contract.FlowInfo{{Name: "any", Version: 1}}}
	if err := bus.Provision(ctx, conn, contract.Streams(office), 1); err != nil {
		log.Fatal(err)
	}
	worker, err := flow.NewWorker(conn, "office", flows, opts...)
	if err != nil {
		log.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- worker.Run(ctx) }()
	return flow.NewClient(conn, "office"), func() {
		cancel()
		if err := <-done; err != nil {
			log.Fatal(err)
		}
		conn.Close()
		_ = server.Shutdown(context.Background())
		_ = os.RemoveAll(dir)
	}
}

// A reminder is sent once the time has come, whatever process dies before.
func ExampleRun_Sleep() {
	reminder := flow.Define("reminder", 1, func(run *flow.Run, name string) (string, error) {
		if err := run.Sleep("until_due", 20*time.Millisecond); err != nil {
			return "", err
		}
		return flow.Step(run, "remind", func(context.Context) (string, error) { return "dear " + name, nil })
	})
	client, stop := serveExample([]flow.Registered{reminder})
	defer stop()
	fmt.Println(flow.Do(context.Background(), client, reminder, "r1", "Ada"))
	// Output: dear Ada <nil>
}

// A person has a week to decide; what they say comes as a signal.
func ExampleAwait() {
	type decision struct {
		Approved bool   `json:"approved"`
		By       string `json:"by"`
	}
	review := flow.Define("review", 1, func(run *flow.Run, _ string) (string, error) {
		d, err := flow.Await[decision](run, "decision", 7*24*time.Hour)
		switch {
		case errors.Is(err, flow.ErrTimedOut):
			return "nobody decided", nil
		case err != nil:
			return "", err
		case d.Approved:
			return "approved by " + d.By, nil
		}
		return "rejected by " + d.By, nil
	})
	client, stop := serveExample([]flow.Registered{review})
	defer stop()
	ctx := context.Background()
	h, err := flow.Start(ctx, client, review, "order-1", "")
	if err != nil {
		log.Fatal(err)
	}
	if err := client.Signal(ctx, "review", "order-1", "decision", "click-1", decision{Approved: true, By: "Ada"}); err != nil {
		log.Fatal(err)
	}
	fmt.Println(h.Result(ctx))
	// Output: approved by Ada <nil>
}

// A flow starts others and waits for their results.
func ExampleStartChild() {
	pack := flow.Define("pack", 1, func(_ *flow.Run, item string) (string, error) { return "packed " + item, nil })
	parcel := flow.Define("parcel", 1, func(run *flow.Run, items []string) ([]string, error) {
		var children []*flow.Child[string]
		for _, item := range items { // all of them run at the same time
			child, err := flow.StartChild(run, pack, run.ID()+"-"+item, item)
			if err != nil {
				return nil, err
			}
			children = append(children, child)
		}
		var packed []string
		for _, child := range children {
			p, err := child.Await()
			if err != nil {
				return nil, err
			}
			packed = append(packed, p)
		}
		return packed, nil
	})
	client, stop := serveExample([]flow.Registered{pack, parcel})
	defer stop()
	fmt.Println(flow.Do(context.Background(), client, parcel, "p1", []string{"tea", "mug"}))
	// Output: [packed tea packed mug] <nil>
}

// A flow without end begins anew before its journal grows long.
func ExampleContinueAsNew() {
	countdown := flow.Define("countdown", 1, func(run *flow.Run, n int) (string, error) {
		left, err := flow.Step(run, "count", func(context.Context) (int, error) { return n - 1, nil })
		if err != nil {
			return "", err
		}
		if left > 0 {
			return flow.ContinueAsNew[string](run, left)
		}
		return "lift-off", nil
	})
	client, stop := serveExample([]flow.Registered{countdown})
	defer stop()
	ctx := context.Background()
	fmt.Println(flow.Do(ctx, client, countdown, "c1", 10))
	state, err := client.Get(ctx, "countdown", "c1")
	fmt.Println(state.Generation, len(state.Steps), err)
	// Output:
	// lift-off <nil>
	// 9 1 <nil>
}

// A cancel runs the compensations of a flow that waits.
func ExampleClient_Cancel() {
	hotel := flow.Define("hotel", 1, func(run *flow.Run, _ string) (string, error) {
		flow.Compensate(run, "unbook", func(context.Context) error {
			fmt.Println("room given back")
			return nil
		})
		run.Report("room booked")
		return flow.Await[string](run, "arrived", 0)
	})
	client, stop := serveExample([]flow.Registered{hotel})
	defer stop()
	ctx := context.Background()
	h, err := flow.Start(ctx, client, hotel, "h1", "")
	if err != nil {
		log.Fatal(err)
	}
	if err := client.Cancel(ctx, "hotel", "h1", "the guest is ill"); err != nil {
		log.Fatal(err)
	}
	_, err = h.Result(ctx)
	fmt.Println(errors.Is(err, flow.ErrCancelled), err)
	// Output:
	// room given back
	// true the flow was cancelled: the guest is ill (flow_cancelled)
}

// What a flow has reported is seen while it runs, or waits.
func ExampleRun_Report() {
	tour := flow.Define("tour", 1, func(run *flow.Run, _ string) (string, error) {
		run.Report(map[string]int{"stop": 3})
		return flow.Await[string](run, "next", 0)
	})
	client, stop := serveExample([]flow.Registered{tour})
	defer stop()
	ctx := context.Background()
	if _, err := flow.Start(ctx, client, tour, "t1", ""); err != nil {
		log.Fatal(err)
	}
	for {
		state, err := client.Get(ctx, "tour", "t1")
		if err != nil {
			log.Fatal(err)
		}
		if state.Wait != nil {
			fmt.Println(state.Status, "for", state.Wait.Kind, state.Wait.Name, string(state.Report))
			return
		}
		time.Sleep(time.Millisecond)
	}
	// Output: waiting for signal next {"stop":3}
}

// A flow that does not end in time is undone and fails.
func ExampleWithDeadline() {
	quote := flow.Define("quote", 1, func(run *flow.Run, _ string) (string, error) {
		return flow.Await[string](run, "answer", 0)
	}, flow.WithDeadline(20*time.Millisecond))
	client, stop := serveExample([]flow.Registered{quote})
	defer stop()
	_, err := flow.Do(context.Background(), client, quote, "q1", "")
	fmt.Println(errors.Is(err, flow.ErrDeadline), err)
	// Output: true the flow did not end by its deadline (flow_deadline)
}

// A flow that got stuck goes on where it was once the cause is mended.
func ExampleClient_Retry() {
	mended := false
	fragile := flow.Define("fragile", 1, func(run *flow.Run, _ string) (string, error) {
		return flow.Step(run, "send", func(context.Context) (string, error) {
			if !mended {
				return "", errors.New("the printer is on fire")
			}
			return "printed", nil
		}, flow.WithAtMostOnce())
	})
	client, stop := serveExample([]flow.Registered{fragile})
	defer stop()
	ctx := context.Background()
	_, err := flow.Do(ctx, client, fragile, "f1", "")
	fmt.Println(errors.Is(err, flow.ErrStuck))
	mended = true
	if err := client.Retry(ctx, "fragile", "f1"); err != nil {
		log.Fatal(err)
	}
	for {
		state, err := client.Get(ctx, "fragile", "f1")
		if err != nil {
			log.Fatal(err)
		}
		if state.Status.Ended() {
			fmt.Println(flow.ResultOf[string](state))
			return
		}
		time.Sleep(time.Millisecond)
	}
	// Output:
	// true
	// printed <nil>
}

// Every night at three, unless the one before still runs.
func ExampleCron() {
	reconcile := flow.Define("reconcile", 1, func(_ *flow.Run, _ string) (string, error) { return "all good", nil })
	nightly := flow.Cron("nightly", "0 3 * * *", reconcile, "", flow.Skip)
	client, stop := serveExample([]flow.Registered{reconcile}, flow.WithSchedules(nightly))
	defer stop()
	for {
		state, err := client.Get(context.Background(), "schedule", "nightly")
		if err == nil && state.Wait != nil {
			fmt.Println(state.Wait.Due.UTC().Format(time.TimeOnly))
			return
		}
		time.Sleep(time.Millisecond)
	}
	// Output: 03:00:00
}
