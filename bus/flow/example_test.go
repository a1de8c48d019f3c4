package flow_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/flow"
	"github.com/ordermesh/ordermesh/embedded/natsd"
)

var errSoldOut = contract.NewError(contract.Conflict, "sold_out", "there is none left")

type booking struct {
	Seats int `json:"seats"`
}

// bookingFlow takes money and then seats; when there are no seats the money goes back.
func bookingFlow() flow.Definition[booking, string] {
	return flow.Define("booking", 1, func(run *flow.Run, in booking) (string, error) {
		flow.Compensate(run, "refund", func(context.Context) error {
			fmt.Println("refund")
			return nil
		})
		if _, err := flow.Step(run, "charge", func(context.Context) (int, error) {
			fmt.Println("charge", in.Seats*10)
			return in.Seats * 10, nil
		}); err != nil {
			return "", err
		}
		return flow.Step(run, "reserve", func(context.Context) (string, error) {
			if in.Seats > 4 {
				return "", errSoldOut
			}
			return fmt.Sprintf("%d seats", in.Seats), nil
		})
	})
}

// A refusal fails the flow and undoes what was done.
func Example() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	dir, err := os.MkdirTemp("", "mesh")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	server, err := natsd.Start(natsd.Config{Port: -1, StoreDir: dir})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = server.Shutdown(context.Background()) }()
	conn, err := bus.Dial(ctx, bus.Config{URL: server.URL(), Service: "theatre"})
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()

	def := bookingFlow()
	theatre := contract.Service{Name: "theatre", Flows: []contract.FlowInfo{def.Info()}}
	if err := bus.Provision(ctx, conn, contract.Streams(theatre), 1); err != nil {
		log.Fatal(err)
	}
	worker, err := flow.NewWorker(conn, "theatre", []flow.Registered{def})
	if err != nil {
		log.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- worker.Run(ctx) }()

	client := flow.NewClient(conn, "theatre")
	fmt.Println(flow.Do(ctx, client, def, "b1", booking{Seats: 2}))
	_, err = flow.Do(ctx, client, def, "b2", booking{Seats: 9})
	fmt.Println(errors.Is(err, errSoldOut), err)
	fmt.Println(flow.Do(ctx, client, def, "b1", booking{Seats: 2})) // nothing runs again
	cancel()
	fmt.Println(<-done)
	// Output:
	// charge 20
	// 2 seats <nil>
	// charge 90
	// refund
	// true there is none left (sold_out)
	// 2 seats <nil>
	// <nil>
}
