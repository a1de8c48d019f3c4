package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/telemetry"
	"github.com/ordermesh/ordermesh/embedded/natsd"
	"github.com/ordermesh/ordermesh/embedded/postgres"
	"github.com/ordermesh/ordermesh/embedded/redis"
)

const (
	stopTimeout  = 10 * time.Second // from the first signal to the end of the process
	readyTimeout = 30 * time.Second
	developer    = "developer" // the user of clients that send no credentials

	defaultNATSPort = 4222
)

// devOptions are the flags of `mesh dev`.
type devOptions struct {
	http      string
	admin     string
	natsPort  int
	data      string
	ephemeral bool
	seed      bool
	postgres  bool
	redis     bool
	config    configFlags
	log       slog.Level
}

func devCommand(c *cli) *cobra.Command {
	var o devOptions
	cmd := &cobra.Command{
		Use: "dev", Short: "Run everything in one process: NATS server, services, sample catalog", GroupID: groupStart,
		Long: "Run every service and an embedded NATS server in one process, on loopback only.\n" +
			"Each service has its own connection, user and permissions, as in production;\n" +
			"the nats CLI on this machine gets in without a password.\n" +
			"Views are in memory; with --postgres, or in the server that DATABASE_URL names, they are in PostgreSQL.\n" +
			"What was read is remembered in this process; with --redis, or with REDIS_URL, in Redis as well.",
		Example: "  mesh dev\n  mesh dev --ephemeral --seed=false          # empty, and gone afterwards\n" +
			"  mesh dev --data ./state --nats-port 4333   # a second one beside the first",
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error { return runDev(cmd.Context(), c, o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.http, "http", "127.0.0.1:8080", "loopback `address` of the API, /livez, /readyz and /metrics; \"\" for none")
	f.StringVar(&o.admin, "admin", "", "loopback `address` of its own for /readyz?verbose and /metrics")
	f.IntVar(&o.natsPort, "nats-port", defaultNATSPort, "`port` of the NATS server; 0 for any free one")
	f.StringVar(&o.data, "data", "", "`directory` of the data (default the XDG state folder, ordermesh)")
	f.BoolVar(&o.ephemeral, "ephemeral", false, "keep the data in a temporary directory and remove it at the end")
	f.BoolVar(&o.postgres, "postgres", false, "keep views in a throw-away PostgreSQL out of this machine's programs")
	f.BoolVar(&o.redis, "redis", false, "share what was read in a throw-away Redis out of this machine's program")
	f.BoolVar(&o.seed, "seed", true, "put a small catalog with stock into an empty mesh")
	o.config.add(f)
	logFlag(f, &o.log)
	return cmd
}

// runDev checks everything that can be refused, starts the server and the services
// and waits for the end.
func runDev(ctx context.Context, c *cli, o devOptions) (err error) {
	if err := o.check(); err != nil {
		return err
	}
	tel, err := newTelemetry(c, o.log)
	if err != nil {
		return err
	}
	services := allServices()
	if err := o.config.configure(services, tel); err != nil {
		return err
	}
	web, err := listenSites(ctx, o.http, o.admin)
	if err != nil {
		return err
	}
	defer web.stop()
	dir, cleanup, err := o.directory()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cleanup()) }()
	backing, stopBacking, err := o.backings(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stopBacking()) }()
	server, passwords, err := startServer(dir, o.natsPort, services, tel)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stopServer(ctx, server)) }()
	d := &devMesh{cli: c, options: o, telemetry: tel, server: server, backing: backing, web: web, directory: dir}
	d.services = hostAll(services, profileDev, backing, dialAs(server.URL(), passwords, tel))
	return d.run(ctx)
}

// dialAs connects each service as its own user.
func dialAs(url string, passwords map[string]string, tel *telemetry.Telemetry) dialer {
	return func(ctx context.Context, name string) (*bus.Conn, error) {
		return bus.Dial(ctx, bus.Config{
			URL: url, Service: name, User: name, Password: passwords[name], Telemetry: tel.For(name),
		})
	}
}

func (o *devOptions) check() error {
	if o.ephemeral && o.data != "" {
		return usagef("--data and --ephemeral contradict each other: use one of them")
	}
	if o.postgres && os.Getenv("DATABASE_URL") != "" {
		return usagef("--postgres and DATABASE_URL contradict each other: use one of them")
	}
	if o.redis && os.Getenv("REDIS_URL") != "" {
		return usagef("--redis and REDIS_URL contradict each other: use one of them")
	}
	if o.natsPort < 0 || o.natsPort > 65535 {
		return usagef("--nats-port %d is no port: use 1 to 65535, or 0 for any free one", o.natsPort)
	}
	if err := checkLoopback("--http", o.http); err != nil {
		return err
	}
	return checkLoopback("--admin", o.admin)
}

// checkLoopback refuses an address that others can reach.
func checkLoopback(flag, address string) error {
	if address == "" {
		return nil
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return usagef("%s %q is no address: use something like 127.0.0.1:8080", flag, address)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return usagef("%s %q is not on loopback: 'mesh dev' asks for no login, so use 127.0.0.1 or [::1]", flag, address)
	}
	return nil
}

// backings are what the services use beside NATS; stop ends what was started for it.
func (o *devOptions) backings(ctx context.Context) (*backings, func() error, error) {
	var ends []func() error
	end := func() error {
		var errs []error
		for _, end := range ends {
			errs = append(errs, end())
		}
		return errors.Join(errs...)
	}
	database, shared := os.Getenv("DATABASE_URL"), os.Getenv("REDIS_URL")
	if o.postgres {
		server, err := postgres.Start(ctx)
		if err != nil {
			return nil, nil, usagef("--postgres: %w", err)
		}
		database, ends = server.URL("postgres"), append(ends, server.Close)
	}
	if o.redis {
		server, err := redis.Start(ctx)
		if err != nil {
			return nil, nil, errors.Join(usagef("--redis: %w", err), end())
		}
		shared, ends = server.URL(), append(ends, server.Close)
	}
	b, err := newBackings(database, true)
	if err == nil {
		b.redis, err = openRedis(shared)
	}
	if err != nil {
		return nil, nil, errors.Join(err, end())
	}
	return b, func() error {
		b.close()
		return end()
	}, nil
}

// directory returns where the data goes and what to do about it at the end.
func (o *devOptions) directory() (dir string, cleanup func() error, err error) {
	nothing := func() error { return nil }
	switch {
	case o.ephemeral:
		dir, err := os.MkdirTemp("", "ordermesh-")
		if err != nil {
			return "", nothing, usagef("cannot make a temporary directory (%w): set TMPDIR", err)
		}
		return dir, func() error { return os.RemoveAll(dir) }, nil
	case o.data != "":
		dir, err := filepath.Abs(o.data)
		return dir, nothing, err
	}
	state := os.Getenv("XDG_STATE_HOME")
	if !filepath.IsAbs(state) {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", nothing, usagef("there is no home directory to keep data in (%w): use --data or --ephemeral", err)
		}
		state = filepath.Join(home, ".local", "state")
	}
	return filepath.Join(state, "ordermesh"), nothing, nil
}

// startServer starts the NATS server with one user per service, whose permissions
// are derived from its descriptor and whose password lives for this run only.
func startServer(dir string, port int, services []service, tel *telemetry.Telemetry) (*natsd.Server, map[string]string, error) {
	users, passwords := devUsers(descriptors(services))
	if port == 0 {
		port = -1
	}
	server, err := natsd.Start(natsd.Config{
		Port: port, StoreDir: filepath.Join(dir, "nats"), Users: users, DefaultUser: developer, Logger: tel.For("nats").Logger,
	})
	switch {
	case errors.Is(err, natsd.ErrPortTaken):
		return nil, nil, usagef("%w with --nats-port", err)
	case errors.Is(err, natsd.ErrStoreInUse), errors.Is(err, natsd.ErrStoreUnusable):
		return nil, nil, usagef("%w (--data)", err)
	}
	return server, passwords, err
}

func stopServer(ctx context.Context, server *natsd.Server) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout/5)
	defer cancel()
	return server.Shutdown(ctx)
}

// devMesh is a running `mesh dev`.
type devMesh struct {
	cli       *cli
	options   devOptions
	telemetry *telemetry.Telemetry
	server    *natsd.Server
	backing   *backings
	web       sites
	directory string
	services  []*hosted
}

// run serves until ctx ends and drains.
func (d *devMesh) run(ctx context.Context) error {
	h := newHealth(d.telemetry, d.services, component{name: "nats", check: d.server.Healthy})
	d.web.local = true
	d.web.start(h, d.services, d.telemetry.Logger)
	return serveUntilDone(ctx, h, d.services, d.welcome)
}

// welcome waits for the services, fills the catalog and says what to try.
func (d *devMesh) welcome(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	if err := awaitReady(ctx, d.services); err != nil {
		return err
	}
	if d.options.seed {
		if err := d.sow(ctx); err != nil {
			return err
		}
	}
	return d.announce()
}

// sow fills the catalog as the developer would.
func (d *devMesh) sow(ctx context.Context) error {
	conn, err := bus.Dial(ctx, bus.Config{URL: d.server.URL(), Service: "mesh", Telemetry: d.telemetry})
	if err != nil {
		return err
	}
	defer conn.Close()
	return seed(ctx, conn)
}
