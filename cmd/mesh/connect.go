package main

import (
	"cmp"
	"context"
	"errors"
	"os"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/spf13/pflag"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/telemetry"
)

// connectTimeout bounds how long a tool looks for a server. Services look for ever.
const connectTimeout = 5 * time.Second

// natsFlags say where the mesh is. The environment is read when they are used, not
// as a flag's default, so that help never shows a password.
type natsFlags struct{ url, creds string }

func (n *natsFlags) add(f *pflag.FlagSet) {
	f.StringVar(&n.url, "nats", "", "`URL` of the NATS server (default $NATS_URL, else "+bus.DefaultURL+")")
	f.StringVar(&n.creds, "creds", "", "`file` with NATS credentials (default $NATS_CREDS)")
}

func (n *natsFlags) address() string { return cmp.Or(n.url, os.Getenv("NATS_URL"), bus.DefaultURL) }

// dial connects as a service or a tool of this name and keeps trying until ctx ends.
// Its errors never show a password.
func (n *natsFlags) dial(ctx context.Context, service string, tel *telemetry.Telemetry) (*bus.Conn, error) {
	conn, err := bus.Dial(ctx, bus.Config{
		URL: n.address(), Creds: cmp.Or(n.creds, os.Getenv("NATS_CREDS")), Service: service, Telemetry: tel,
	})
	switch {
	case err == nil:
		return conn, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.Is(err, nats.ErrAuthorization):
		return nil, usagef("the NATS server at %s refuses this user: give credentials in the URL or with --creds", bus.Redacted(n.address()))
	}
	return nil, usagef("cannot connect to NATS at %s: %w", bus.Redacted(n.address()), rootCause(err))
}

// connect is for tools: it gives up soon and says what to do.
func (n *natsFlags) connect(ctx context.Context) (*bus.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	conn, err := n.dial(ctx, "mesh", nil)
	if errors.Is(err, context.DeadlineExceeded) {
		return nil, usagef("no NATS server answers at %s: start one with 'mesh dev' or name another with --nats", bus.Redacted(n.address()))
	}
	return conn, err
}

// rootCause is the innermost error: outer ones repeat the address.
func rootCause(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}
