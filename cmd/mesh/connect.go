package main

import (
	"cmp"
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/pflag"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/auth"
	"github.com/ordermesh/ordermesh/bus/telemetry"
)

// connectTimeout bounds how long a tool looks for a server. Services look for ever.
const connectTimeout = 5 * time.Second

// natsFlags say where the mesh is. The environment is read when they are used, not
// as a flag's default, so that help never shows a password.
type natsFlags struct{ url, creds, ca, cert, key string }

func (n *natsFlags) add(f *pflag.FlagSet) {
	f.StringVar(&n.url, "nats", "", "`URL` of the NATS server (default $NATS_URL, else "+bus.DefaultURL+")")
	f.StringVar(&n.creds, "creds", "", "`file` with NATS credentials, or a folder with one for each service (default $NATS_CREDS)")
	f.StringVar(&n.ca, "tls-ca", "", "PEM `file` of the CA that signed the NATS server's certificate (default $NATS_CA)")
	f.StringVar(&n.cert, "tls-cert", "", "PEM `file` of a client certificate (default $NATS_CERT)")
	f.StringVar(&n.key, "tls-key", "", "PEM `file` of its key (default $NATS_KEY)")
}

// named reports whether somebody said where the mesh is.
func (n *natsFlags) named() bool { return n.url != "" || os.Getenv("NATS_URL") != "" }

func (n *natsFlags) address() string { return cmp.Or(n.url, os.Getenv("NATS_URL"), bus.DefaultURL) }

func (n *natsFlags) tls() bus.TLS {
	return bus.TLS{
		CA:   cmp.Or(n.ca, os.Getenv("NATS_CA")),
		Cert: cmp.Or(n.cert, os.Getenv("NATS_CERT")), Key: cmp.Or(n.key, os.Getenv("NATS_KEY")),
	}
}

// toolName is how the tools call themselves; in a folder of credentials they are the admin.
const toolName = "mesh"

// credsOf is the file for a service: the one that is given, or <service>.creds where a
// folder is given.
func (n *natsFlags) credsOf(service string) string {
	path := cmp.Or(n.creds, os.Getenv("NATS_CREDS"))
	if info, err := os.Stat(path); err == nil && info.IsDir() { //nolint:gosec // the user names it, as any program's file
		if service == toolName {
			service = auth.Admin
		}
		return filepath.Join(path, service+".creds")
	}
	return path
}

// dial connects as a service or a tool of this name and keeps trying until ctx ends.
// Its errors never show a password.
func (n *natsFlags) dial(ctx context.Context, service string, tel *telemetry.Telemetry) (*bus.Conn, error) {
	conn, err := bus.Dial(ctx, bus.Config{
		URL: n.address(), Creds: n.credsOf(service), TLS: n.tls(), Service: service, Telemetry: tel,
	})
	switch {
	case err == nil:
		return conn, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.Is(err, bus.ErrRefused):
		return nil, usagef("%w", err)
	}
	return nil, usagef("cannot connect to NATS at %s: %w", bus.Redacted(n.address()), rootCause(err))
}

// connect is for tools: it gives up soon and says what to do.
func (n *natsFlags) connect(ctx context.Context) (*bus.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	conn, err := n.dial(ctx, toolName, nil)
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
