package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/view"
	"github.com/ordermesh/ordermesh/bus/view/postgres"
	"github.com/ordermesh/ordermesh/contracts/catalog"
	"github.com/ordermesh/ordermesh/contracts/inventory"
	"github.com/ordermesh/ordermesh/contracts/orders"
	"github.com/ordermesh/ordermesh/contracts/payments"
	"github.com/ordermesh/ordermesh/contracts/shipping"
	catalogtable "github.com/ordermesh/ordermesh/services/catalog/postgres"
	catalogview "github.com/ordermesh/ordermesh/services/catalog/view"
	stocktable "github.com/ordermesh/ordermesh/services/inventory/postgres"
	stockview "github.com/ordermesh/ordermesh/services/inventory/view"
	orderstable "github.com/ordermesh/ordermesh/services/orders/postgres"
	ordersview "github.com/ordermesh/ordermesh/services/orders/view"
	paymenttable "github.com/ordermesh/ordermesh/services/payments/postgres"
	paymentview "github.com/ordermesh/ordermesh/services/payments/view"
	shipmenttable "github.com/ordermesh/ordermesh/services/shipping/postgres"
	shipmentview "github.com/ordermesh/ordermesh/services/shipping/view"
)

// storedView is a view that can be in PostgreSQL, without its types.
type storedView struct {
	service, entity, table string

	rebuild func(ctx context.Context, conn *bus.Conn, pool *pgxpool.Pool, o view.RebuildOptions) (view.Checkpoint, error)
	verify  func(ctx context.Context, conn *bus.Conn, pool *pgxpool.Pool) (view.Verdict, error)
}

// storedViews lists the views that services keep in tables.
func storedViews() []storedView {
	return []storedView{
		inTable(catalog.Events, catalogtable.Table(), catalogview.Fold()),
		inTable(inventory.StockEvents, stocktable.Table(), stockview.Fold()),
		inTable(orders.Events, orderstable.Table(), ordersview.Fold()),
		inTable(payments.Events, paymenttable.Table(), paymentview.Fold()),
		inTable(shipping.Events, shipmenttable.Table(), shipmentview.Fold()),
	}
}

func inTable[E, R any](events contract.Events[E], table postgres.Table[R], fold view.Fold[E, R]) storedView {
	info := events.Info()
	return storedView{
		service: info.Service, entity: info.Entity, table: table.Schema + "." + table.Name,
		rebuild: func(ctx context.Context, conn *bus.Conn, pool *pgxpool.Pool, o view.RebuildOptions) (view.Checkpoint, error) {
			store, err := postgres.New(pool, table)
			if err != nil {
				return view.Checkpoint{}, err
			}
			return view.Rebuild(ctx, conn, events, store, fold, o)
		},
		verify: func(ctx context.Context, conn *bus.Conn, pool *pgxpool.Pool) (view.Verdict, error) {
			store, err := postgres.New(pool, table)
			if err != nil {
				return view.Verdict{}, err
			}
			return view.Verify(ctx, conn, events, store, fold)
		},
	}
}

// called reports whether a name means this view.
func (v *storedView) called(name string) bool {
	return name == v.entity || name == v.service || name == v.table
}

func viewNames() []string {
	var names []string
	for _, v := range storedViews() {
		names = append(names, v.entity)
	}
	return names
}

// chooseViews finds views by name; none are all.
func chooseViews(names []string) ([]storedView, error) {
	if len(names) == 0 {
		return storedViews(), nil
	}
	var chosen []storedView
	for _, name := range names {
		all := storedViews()
		i := slices.IndexFunc(all, func(v storedView) bool { return v.called(name) })
		if i < 0 {
			return nil, usagef("there is no view %q: choose from %s", name, strings.Join(viewNames(), ", "))
		}
		chosen = append(chosen, all[i])
	}
	return chosen, nil
}

// withViews connects to the mesh and to its database. Each view is looked at as its
// service's own role.
func withViews(ctx context.Context, n *natsFlags, use func(*bus.Conn, *backings) error) error {
	database := os.Getenv("DATABASE_URL")
	if database == "" {
		return usagef("DATABASE_URL does not say where PostgreSQL is: without it views are in the memory of each process, which rebuilds them when it starts")
	}
	all, err := newBackings(database, false)
	if err != nil {
		return err
	}
	defer all.close()
	conn, err := n.connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	return use(conn, all)
}

// viewPool is where a view's table is, once it can be reached.
func viewPool(ctx context.Context, all *backings, v storedView) (*pgxpool.Pool, error) {
	b, err := all.of(v.service)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	if err := b.pool.Ping(ctx); err != nil {
		return nil, usagef("cannot use PostgreSQL at %s as role %s (%w): see 'mesh view roles'", all.redacted(), sqlRole(v.service), rootCause(err))
	}
	return b.pool, nil
}

func viewCommand(c *cli) *cobra.Command {
	return inGroup(groupLook, group("view", "Look after the views: what lists and reports are answered from",
		"  mesh view status\n  mesh view verify order   # is the table what the stream gives?\n"+
			"  mesh view rebuild order  # beside the live one, then swapped",
		viewStatus(c), viewRebuild(c), viewVerify(c), viewRoles(c)))
}

func viewRoles(c *cli) *cobra.Command {
	return &cobra.Command{
		Use: "roles", Short: "Print the SQL that makes each service's role and schema in PostgreSQL",
		Long: "Print the SQL that makes the role and the schema of each service with views. What is there already\n" +
			"is left alone. Give each role a way to log in and a service the URL of its own role, or let one user\n" +
			"log in for all: services go on as their own role. 'mesh dev' and 'mesh run --profile dev' run it themselves.",
		Example: "  mesh view roles | psql postgres://admin@10.0.0.7/mesh\n" +
			"  psql postgres://admin@10.0.0.7/mesh -c \"ALTER ROLE mesh_orders LOGIN PASSWORD '…'\"",
		Args: exactly(),
		RunE: func(*cobra.Command, []string) error {
			var b strings.Builder
			for _, v := range storedViews() {
				fmt.Fprintf(&b, "-- %s: role %s, schema %s\n%s\n", v.service, sqlRole(v.service), sqlSchema(v.service), roleSQL(v.service))
			}
			if c.json {
				return c.printJSON(struct {
					SQL string `json:"sql"`
				}{b.String()})
			}
			_, err := fmt.Fprint(c.out, b.String())
			return err
		},
	}
}
