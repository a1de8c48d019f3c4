package postgres_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/ordermesh/ordermesh/bus/view"
	"github.com/ordermesh/ordermesh/contracts/orders"
	"github.com/ordermesh/ordermesh/embedded/postgres/postgrestest"
	"github.com/ordermesh/ordermesh/services/orders/postgres"
	ordersview "github.com/ordermesh/ordermesh/services/orders/view"
)

// recorder notes the statements that a pool is asked.
type recorder struct {
	mu   sync.Mutex
	last pgx.TraceQueryStartData
}

func (r *recorder) TraceQueryStart(ctx context.Context, _ *pgx.Conn, q pgx.TraceQueryStartData) context.Context {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last = q
	return ctx
}

func (r *recorder) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// TestEveryPageIsReadFromAnIndex: a page among very many orders is read from an index that
// has the list's order: without looking at other rows and without sorting, whether the
// plan is made for the values that are asked for or for any.
func TestEveryPageIsReadFromAnIndex(t *testing.T) {
	t.Parallel()
	rows := 20_000
	if os.Getenv("MESH_LONG") != "" {
		rows = 100_000
	}
	cfg, err := pgxpool.ParseConfig(postgrestest.Database(t))
	check(t, err)
	asked := &recorder{}
	cfg.ConnConfig.Tracer = asked
	pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
	check(t, err)
	t.Cleanup(pool.Close)
	s, err := postgres.New(pool)
	check(t, err)
	check(t, s.Migrate(t.Context()))
	_, err = pool.Exec(t.Context(), `INSERT INTO orders.orders (key, version, order_id, customer_id, status, total, currency, refunded, placed_at)
		SELECT md5(n::text), 5, md5(n::text), 'c' || n % 11, (ARRAY['delivered', 'delivered', 'delivered', 'cancelled', 'placed'])[1 + n % 5],
			1000, 'EUR', 0, '2026-01-01T00:00:00Z'::timestamptz + n * interval '1 minute'
		FROM generate_series(1, $1::int) AS n`, rows)
	check(t, err)
	_, err = pool.Exec(t.Context(), "ANALYZE orders.orders")
	check(t, err)

	middle := time.Date(2026, 1, 1, 0, rows/2, 0, 0, time.UTC)
	at := func(d time.Duration) string { return view.Moment(middle.Add(d)) }
	byTime := []view.Query{{}, {After: view.Position{Order: at(0), Key: "k"}}, {From: at(-twoDays), Until: at(twoDays)}, {From: at(-twoDays), After: view.Position{Order: at(0), Key: "k"}}}
	byID := []view.Query{{}, view.Query{}.HasPrefix("a"), {After: view.Position{Order: "ab", Key: "ab"}}}
	for _, list := range []ordersview.List{
		{}, {Status: orders.Delivered}, {Status: orders.OnHold}, {Customer: "c7"}, {Customer: "c7", Status: orders.Placed},
		{ByID: true}, {ByID: true, Customer: "c7"},
	} {
		queries := byTime
		if list.ByID {
			queries = byID
		}
		for _, q := range queries {
			q.List, q.Limit, q.Newest = list.Name(), 51, !list.ByID
			page, err := s.Page(t.Context(), q)
			check(t, err)
			if len(page) == 0 && list.Status != orders.OnHold {
				t.Errorf("%+v: nothing was found", q)
			}
			for mode, plan := range plans(t, pool, asked) {
				if !strings.Contains(plan, "Index") || strings.Contains(plan, "Sort") || strings.Contains(plan, "Seq Scan") || strings.Contains(plan, "Bitmap") {
					t.Errorf("%+v: plan for %s:\n%s", q, mode, plan)
				}
			}
		}
	}
}

const twoDays = 48 * time.Hour

// plans are how the last statement is carried out.
func plans(t *testing.T, pool *pgxpool.Pool, asked *recorder) map[string]string {
	t.Helper()
	asked.mu.Lock()
	q := asked.last
	asked.mu.Unlock()
	found := map[string]string{}
	check(t, pool.AcquireFunc(t.Context(), func(conn *pgxpool.Conn) error {
		params := make([]string, len(q.Args))
		for i := range q.Args {
			params[i] = fmt.Sprintf("$%d", i+1)
		}
		execute := "EXPLAIN EXECUTE page (" + strings.Join(params, ", ") + ")"
		if _, err := conn.Exec(t.Context(), "PREPARE page AS "+q.SQL); err != nil {
			return err
		}
		defer func() { _, _ = conn.Exec(context.WithoutCancel(t.Context()), "DEALLOCATE page") }()
		for _, mode := range []string{"force_custom_plan", "force_generic_plan"} {
			if _, err := conn.Exec(t.Context(), "SET plan_cache_mode = "+mode); err != nil {
				return err
			}
			rows, err := conn.Query(t.Context(), execute, append([]any{pgx.QueryExecModeSimpleProtocol}, q.Args...)...)
			if err != nil {
				return err
			}
			lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
			if err != nil {
				return err
			}
			found[mode] = strings.Join(lines, "\n")
		}
		return nil
	}))
	return found
}
