package main

import (
	"context"
	"errors"
	"io"
	"log/slog"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/telemetry"
	"github.com/ordermesh/ordermesh/cmd/mesh/bench"
)

// startInstant runs what `mesh dev` runs, for a benchmark: in this process, on an
// empty store below dir and with a carrier that delivers at once.
func startInstant(ctx context.Context, dir string) (bench.Mesh, error) {
	mesh, _, err := startInstantServices(ctx, dir)
	return mesh, err
}

// startInstantDoor is startInstant with the gateway on a port of its own.
func startInstantDoor(ctx context.Context, dir string) (mesh bench.Mesh, web string, err error) {
	door, err := listenHTTP(ctx, "127.0.0.1:0", "--http")
	if err != nil {
		return mesh, "", err
	}
	mesh, list, err := startInstantServices(ctx, dir)
	if err != nil {
		door.stop()
		return mesh, "", err
	}
	door.start(frontOf(list), slog.New(slog.DiscardHandler))
	stop := mesh.Stop
	mesh.Stop = func() error {
		door.stop()
		return stop()
	}
	return mesh, door.url(), nil
}

func startInstantServices(ctx context.Context, dir string) (mesh bench.Mesh, list []*hosted, err error) {
	tel, err := telemetry.New(telemetry.Config{Writer: io.Discard, Level: slog.LevelWarn})
	if err != nil {
		return mesh, nil, err
	}
	services := allServices()
	if err := configure(services, "", nil, []string{"shipping.transit=0s"}, tel); err != nil {
		return mesh, nil, err
	}
	server, passwords, err := startServer(dir, 0, services, tel)
	if err != nil {
		return mesh, nil, err
	}
	list = hostAll(services, profileDev, &backings{}, dialAs(server.URL(), passwords, tel))
	run, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- bus.Run(run, runners(list)...) }()
	mesh.URL, mesh.Stop = server.URL(), func() error {
		cancel()
		return errors.Join(<-done, stopServer(ctx, server))
	}
	wait, cancelWait := context.WithTimeout(ctx, readyTimeout)
	defer cancelWait()
	if err := awaitReady(wait, list); err != nil {
		return mesh, list, errors.Join(err, mesh.Stop())
	}
	return mesh, list, nil
}
