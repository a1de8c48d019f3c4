package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/ordermesh/ordermesh/bus/cache"
	"github.com/ordermesh/ordermesh/bus/policy"
	"github.com/ordermesh/ordermesh/bus/view"
	"github.com/ordermesh/ordermesh/bus/view/postgres"
)

// backing is what one service uses beside NATS. Without a pool everything is kept in the
// memory of the process.
type backing struct {
	policies *policy.Set // of its calls

	pool   *pgxpool.Pool // of the service's own role, in its own schema; nil without PostgreSQL
	remote cache.Remote  // where instances share what they have read; nil without Redis
}

// stored is the store of a view: the table in PostgreSQL, or its twin in memory.
func stored[R any](b backing, t postgres.Table[R]) (view.Store[R], error) {
	if b.pool == nil {
		return view.NewMemory[R](), nil
	}
	return postgres.New(b.pool, t, b.guard())
}

// guard has reads of a view follow the service's policy for PostgreSQL, where there is one.
func (b backing) guard() postgres.Option {
	if b.policies == nil {
		return postgres.WithGuard(nil)
	}
	return postgres.WithGuard(b.policies.Executor("postgres"))
}

// backings are what the services of this process use beside NATS.
type backings struct {
	database string // URL of PostgreSQL; "" for none
	prepare  bool   // make roles and schemas that are missing
	redis    *sharedRedis

	mu    sync.Mutex
	pools map[string]*pgxpool.Pool
}

// newBackings checks what the environment says and connects to nothing: whatever is not
// there yet is waited for.
func newBackings(database string, prepare bool) (*backings, error) {
	if database != "" {
		_, err := pgxpool.ParseConfig(database)
		if scheme, _, _ := strings.Cut(database, ":"); err != nil || (scheme != "postgres" && scheme != "postgresql") {
			return nil, usagef("DATABASE_URL cannot be used: write it as postgres://user:password@host:5432/database") // what is wrong might show the password
		}
	}
	return &backings{database: database, prepare: prepare, pools: map[string]*pgxpool.Pool{}}, nil
}

// redacted is the URL of PostgreSQL without its password.
func (b *backings) redacted() string {
	u, err := url.Parse(b.database)
	if err != nil || b.database == "" {
		return ""
	}
	query := u.Query()
	query.Del("password")
	if u.RawQuery = query.Encode(); u.User != nil {
		u.User = url.User(u.User.Username())
	}
	return u.String()
}

// of is what a service uses.
func (b *backings) of(service string) (backing, error) {
	used := backing{remote: b.redis.remote()}
	if b.database == "" {
		return used, nil
	}
	var err error
	used.pool, err = b.pool(service)
	return used, err
}

// Limits of a pool, unless the URL has its own.
const (
	poolConnections = 8 // of them one for each view that listens and, if it was elected, writes
	databaseTimeout = 5 * time.Second
)

func (b *backings) pool(service string) (*pgxpool.Pool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if pool := b.pools[service]; pool != nil {
		return pool, nil
	}
	cfg, err := poolConfig(b.database, service)
	if err != nil {
		return nil, err
	}
	if b.prepare {
		cfg.BeforeConnect = b.makeRole(service)
	}
	pool, err := pgxpool.NewWithConfig(context.Background(), cfg)
	if err != nil {
		return nil, fmt.Errorf("a pool of connections to PostgreSQL: %w", err)
	}
	b.pools[service] = pool
	return pool, nil
}

// poolConfig connects as the URL's user and goes on as the service's role.
func poolConfig(database, service string) (*pgxpool.Config, error) {
	cfg, err := pgxpool.ParseConfig(database)
	if err != nil {
		return nil, err
	}
	if !strings.Contains(database, "pool_max_conns") {
		cfg.MaxConns = poolConnections
	}
	cfg.ConnConfig.ConnectTimeout = cmp.Or(cfg.ConnConfig.ConnectTimeout, databaseTimeout)
	params := cfg.ConnConfig.RuntimeParams
	params["application_name"] = cmp.Or(params["application_name"], "ordermesh "+service)
	params["role"] = sqlRole(service)
	params["search_path"] = sqlSchema(service)
	return cfg, nil
}

// sqlRole and sqlSchema name a service's part of the database.
func sqlRole(service string) string   { return "mesh_" + sqlSchema(service) }
func sqlSchema(service string) string { return strings.ReplaceAll(service, "-", "_") }

// makeRole makes a service's role and schema once, as the user of the URL, before the
// first connection goes on as that role.
func (b *backings) makeRole(service string) func(context.Context, *pgx.ConnConfig) error {
	var mu sync.Mutex
	done := false
	return func(ctx context.Context, _ *pgx.ConnConfig) error {
		mu.Lock()
		defer mu.Unlock()
		if done {
			return nil
		}
		conn, err := pgx.Connect(ctx, b.database)
		if err != nil {
			return err
		}
		_, err = conn.Exec(ctx, roleSQL(service), pgx.QueryExecModeSimpleProtocol)
		if err = errors.Join(err, conn.Close(ctx)); err != nil {
			return fmt.Errorf("make the role and schema of %s: %w", service, err)
		}
		done = true
		return nil
	}
}

// roleSQL makes a service's role and schema where they are missing. Who runs it may use
// the role afterwards.
func roleSQL(service string) string {
	role, schema := sqlRole(service), sqlSchema(service)
	return fmt.Sprintf(`BEGIN;
SELECT pg_advisory_xact_lock(%d);
DO $$ BEGIN
	BEGIN
		IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '%[2]s') THEN CREATE ROLE %[2]s; END IF;
	EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; -- made for another database just now
	END;
	IF NOT pg_has_role(current_user, '%[2]s', 'MEMBER') THEN GRANT %[2]s TO CURRENT_USER; END IF;
	IF NOT EXISTS (SELECT FROM pg_namespace WHERE nspname = '%[3]s') THEN CREATE SCHEMA %[3]s AUTHORIZATION %[2]s; END IF;
END $$;
COMMIT;
`, 0x726f6c65, role, schema)
}

// close ends the connections, once nothing uses them any more.
func (b *backings) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, pool := range b.pools {
		pool.Close()
	}
	b.redis.close()
}
