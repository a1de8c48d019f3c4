package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/rpc"
	"github.com/ordermesh/ordermesh/embedded/natsd"
)

// What a service says is declared once, in its contracts package.
type (
	square struct {
		N int `json:"n"`
	}
	squared struct {
		Value int `json:"value"`
	}
)

var (
	squareMethod = contract.NewMethod[square, squared]("maths", "square", contract.Idempotent())
	errTooLarge  = contract.NewError(contract.Unprocessable, "too_large", "the number is too large")
)

func Example() {
	if err := example(context.Background()); err != nil {
		fmt.Println(err)
	}
	// Output:
	// 49
	// too large
}

func example(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	nats, err := natsd.Start(natsd.Config{Port: -1, StoreDir: dir})
	if err != nil {
		return err
	}
	defer nats.Shutdown(ctx)
	conn, err := bus.Dial(ctx, bus.Config{URL: nats.URL(), Service: "maths"})
	if err != nil {
		return err
	}
	defer conn.Close()

	server, err := rpc.NewServer(conn, contract.Service{Name: "maths", Serves: []contract.MethodInfo{squareMethod.Info()}})
	if err != nil {
		return err
	}
	rpc.Handle(server, squareMethod, func(_ context.Context, req square) (squared, error) {
		if req.N > 1000 {
			return squared{}, errTooLarge.At("/n")
		}
		return squared{Value: req.N * req.N}, nil
	})
	serving, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- server.Run(serving) }()
	<-server.Ready()

	client := rpc.NewClient(conn)
	reply, err := rpc.Call(ctx, client, squareMethod, square{N: 7})
	if err != nil {
		stop()
		return err
	}
	fmt.Println(reply.Value)
	if _, err := rpc.Call(ctx, client, squareMethod, square{N: 5000}); errors.Is(err, errTooLarge) {
		fmt.Println("too large")
	}
	stop()
	return <-done
}
