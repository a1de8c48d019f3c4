package config_test

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/config"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/embedded/natsd"
)

// bakerySettings are declared where the service's contract is.
type bakerySettings struct {
	Loaves int           `setting:"loaves" default:"20" min:"1" max:"500" doc:"how many loaves are baked at once"`
	Rest   time.Duration `setting:"rest" default:"40m" min:"1m" doc:"how long the dough rests"`
}

var bakery = contract.Service{Name: "bakery", Settings: contract.SettingsOf[bakerySettings]()}

// Example runs a service with settings, changes one, and puts in one that cannot be used.
func Example() {
	dir, err := os.MkdirTemp("", "bakery-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	server, err := natsd.Start(natsd.Config{Port: -1, StoreDir: dir})
	if err != nil {
		panic(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	defer server.Shutdown(ctx)
	conn, err := bus.Dial(ctx, bus.Config{URL: server.URL(), Service: "bakery"})
	if err != nil {
		panic(err)
	}
	defer conn.Close()
	if err := bus.Provision(ctx, conn, contract.Streams(bakery), 1); err != nil {
		panic(err)
	}

	schema, err := config.NewSchema[bakerySettings](bakery)
	if err != nil {
		panic(err)
	}
	sources, err := config.NewSources("", []string{"MESH_BAKERY_REST=55m"}, nil) // os.Environ() in a program
	if err != nil {
		panic(err)
	}
	base, err := sources.Values(schema)
	if err != nil {
		panic(err)
	}
	settings, err := config.NewLive[bakerySettings](conn, schema, base)
	if err != nil {
		panic(err)
	}
	run, stop := context.WithCancel(ctx)
	ended := make(chan error)
	go func() { ended <- settings.Run(run) }()
	<-settings.Ready()
	fmt.Println(settings.Get().Loaves, settings.Get().Rest)

	kv, err := conn.JetStream().KeyValue(ctx, contract.ConfigKV)
	if err != nil {
		panic(err)
	}
	for _, value := range []string{"30", "a dozen"} {
		revision, err := kv.PutString(ctx, "bakery.loaves", value)
		if err != nil {
			panic(err)
		}
		for settings.Status().Revision < revision {
			<-time.After(time.Millisecond)
		}
		fmt.Println(settings.Get().Loaves)
	}
	fmt.Println(settings.Status().Refused[0].Reason)
	stop()
	if err := <-ended; err != nil {
		panic(err)
	}
	// Output:
	// 20 55m0s
	// 30
	// 30
	// "a dozen" must be a whole number
}
