package bus_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"

	"github.com/nats-io/nats.go"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/embedded/natsd"
)

// Two writers decide on the same message; the second one learns that it was late.
func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "mesh")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	server, err := natsd.Start(natsd.Config{Port: -1, StoreDir: dir})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = server.Shutdown(ctx) }()

	conn, err := bus.Dial(ctx, bus.Config{URL: server.URL(), Service: "demo"})
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	spec := contract.StreamSpec{Name: "THINGS", Subjects: []string{"evt.thing.*"}, DiscardNew: true, DenyDelete: true}
	if err := bus.Provision(ctx, conn, []contract.StreamSpec{spec}, 1); err != nil {
		log.Fatal(err)
	}

	first, err := conn.Appender().Append(ctx, &nats.Msg{Subject: "evt.thing.t1", Data: []byte("made")}, 0)
	fmt.Println(first.Sequence, err)
	_, err = conn.Appender().Append(ctx, &nats.Msg{Subject: "evt.thing.t1", Data: []byte("made too")}, 0)
	fmt.Println(errors.Is(err, bus.ErrConflict))
	// Output:
	// 1 <nil>
	// true
}
