package main

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/contract"
)

// profile says who creates streams and how safe they must be. It is a flag value.
type profile string

const (
	profileDev        profile = "dev"
	profileProduction profile = "production"
)

// Set accepts the known profiles.
func (p *profile) Set(text string) error {
	if *p = profile(text); *p != profileDev && *p != profileProduction {
		return errors.New("use dev or production")
	}
	return nil
}

// String is the profile's name.
func (p *profile) String() string { return string(*p) }

// Type is the word that help uses for the value.
func (p *profile) Type() string { return "profile" }

// prepare makes sure that the streams and buckets a service needs are there: in
// development by creating them. In production they were looked at before anything was
// started, by [production].
func (p *profile) prepare(ctx context.Context, conn *bus.Conn, desc contract.Service) error {
	if *p == profileProduction {
		return nil
	}
	return provisionDev(ctx, conn, contract.Streams(desc))
}

// provisionDev creates what is missing with one copy. A stream that somebody made with
// more keeps them. While the server cannot tell, it is asked again until ctx ends.
func provisionDev(ctx context.Context, conn *bus.Conn, specs []contract.StreamSpec) error {
	for _, spec := range specs {
		replicas := 0
		for replicas == 0 {
			stream, err := conn.JetStream().Stream(ctx, spec.StreamName())
			switch {
			case err == nil:
				replicas = max(1, stream.CachedInfo().Config.Replicas)
			case errors.Is(err, jetstream.ErrStreamNotFound):
				replicas = 1
			case ctx.Err() != nil:
				return ctx.Err()
			default:
				pause(ctx, 200*time.Millisecond)
			}
		}
		if err := bus.Provision(ctx, conn, []contract.StreamSpec{spec}, replicas); err != nil {
			return err
		}
	}
	return nil
}

// pause waits for d or the end of ctx.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
