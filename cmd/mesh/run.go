package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/telemetry"
)

// waitingAfter is when a service says that it still looks for its server.
const waitingAfter = 2 * time.Second

type runOptions struct {
	nats    natsFlags
	profile profile
	safety  production
	config  configFlags
	http    string
	admin   string
	log     slog.Level
}

func runCommand(c *cli) *cobra.Command {
	o := runOptions{profile: profileDev}
	cmd := &cobra.Command{
		Use: "run <service>...", Short: "Run one or more services against a NATS server", GroupID: groupStart,
		Long: "Run services against a NATS server that runs elsewhere; the code is the same as in 'mesh dev'.\n" +
			"Services start in any order and wait for what they need. Profile dev creates missing streams;\n" +
			"profile production creates nothing and refuses to start, with everything that is wrong at once, unless\n" +
			"the streams and consumers are as 'mesh topology apply' makes them, with three copies or more; the\n" +
			"connection has credentials and, off this machine, TLS; somebody says that the servers write through\n" +
			"to their disks; and no sandbox plays the payment provider or the carrier.\n" +
			"With DATABASE_URL, views are kept in PostgreSQL, for all instances together; profile dev makes\n" +
			"missing roles and schemas, for production 'mesh view roles' prints them.\n" +
			"With REDIS_URL, instances share what they have read; a Redis that is down costs time only.\n\nServices: " + strings.Join(serviceNames(), ", "),
		Example: "  mesh run orders\n  mesh run payments shipping --nats nats://10.0.0.5:4222 --http :8081\n" +
			"  mesh run gateway --http :8080 --admin 127.0.0.1:9090\n" +
			"  mesh run orders --profile production --nats tls://10.0.0.5:4222 --creds orders.creds --server-sync always",
		ValidArgs: serviceNames(),
		Args:      knownServices,
		RunE: func(cmd *cobra.Command, args []string) error {
			return runServices(cmd.Context(), c, o, selectServices(args))
		},
	}
	f := cmd.Flags()
	o.nats.add(f)
	o.config.add(f)
	o.safety.add(f)
	f.Var(&o.profile, "profile", "`dev` creates missing streams, production demands replicated ones")
	f.StringVar(&o.http, "http", "", "`address` of the gateway's API; of other services for /livez, /readyz and /metrics; none by default")
	f.StringVar(&o.admin, "admin", "", "`address` for /livez, /readyz?verbose and /metrics alone; none by default")
	logFlag(f, &o.log)
	return cmd
}

func serviceNames() []string {
	var list []string
	for _, s := range allServices() {
		list = append(list, s.desc.Name)
	}
	return list
}

// knownServices demands at least one service, known and named once.
func knownServices(cmd *cobra.Command, args []string) error {
	known := serviceNames()
	if len(args) == 0 {
		return usagef("name at least one service: %s", strings.Join(known, ", "))
	}
	for i, name := range args {
		if !slices.Contains(known, name) {
			return usagef("there is no service %q: choose from %s", name, strings.Join(known, ", "))
		}
		if slices.Contains(args[:i], name) {
			return usagef("service %q is named twice", name)
		}
	}
	return nil
}

func selectServices(names []string) []service {
	return slices.DeleteFunc(allServices(), func(s service) bool { return !slices.Contains(names, s.desc.Name) })
}

// runServices serves until ctx ends.
func runServices(ctx context.Context, c *cli, o runOptions, services []service) error {
	tel, err := newTelemetry(c, o.log)
	if err != nil {
		return err
	}
	if err := o.config.configure(services, tel); err != nil {
		return err
	}
	web, err := listenSites(ctx, o.http, o.admin)
	if err != nil {
		return err
	}
	defer web.stop()
	backing, err := newBackings(os.Getenv("DATABASE_URL"), o.profile == profileDev)
	if err != nil {
		return err
	}
	defer backing.close()
	if backing.redis, err = openRedis(os.Getenv("REDIS_URL")); err != nil {
		return err
	}
	dial := func(ctx context.Context, name string) (*bus.Conn, error) {
		defer o.announceWaiting(tel.For(name))()
		return o.nats.dial(ctx, name, tel.For(name))
	}
	list := hostAll(services, o.profile, backing, dial)
	h := newHealth(tel, list)
	web.start(h, list, tel.Logger)
	if o.profile == profileProduction {
		if err := o.safety.admit(ctx, &o.nats, services, dial); err != nil {
			if ctx.Err() != nil {
				return nil // it was stopped while it waited
			}
			return err
		}
	}
	return serveUntilDone(ctx, h, list, func(ctx context.Context) error {
		if err := awaitReady(ctx, list); err != nil {
			return err
		}
		return c.announceRun(list, bus.Redacted(o.nats.address()), web)
	})
}

// announceWaiting logs once when connecting takes long; the returned function ends
// the wait.
func (o *runOptions) announceWaiting(tel *telemetry.Telemetry) func() {
	timer := time.AfterFunc(waitingAfter, func() {
		tel.Logger.Warn("no NATS server answers yet, still trying", telemetry.KeyURL, bus.Redacted(o.nats.address()))
	})
	return func() { timer.Stop() }
}

// announceRun says that the services serve.
func (c *cli) announceRun(services []*hosted, natsURL string, web sites) error {
	took := time.Since(c.start).Milliseconds()
	if c.json {
		return c.printJSON(readyNote{Ready: true, ReadyMS: took, NATS: natsURL, HTTP: web.open.url(), Admin: web.admin.url(), Services: hostedNames(services)})
	}
	_, err := fmt.Fprintf(c.out, "%s ready in %d ms on %s\n", strings.Join(hostedNames(services), ", "), took, natsURL)
	return err
}
