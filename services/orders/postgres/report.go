package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ordermesh/ordermesh/contracts/money"
	"github.com/ordermesh/ordermesh/contracts/orders"
	"github.com/ordermesh/ordermesh/services/orders/view"
)

// most is where sums stop: the largest bigint.
const most = "9223372036854775807"

// Report implements view.Store. Its questions are asked in one transaction that sees the
// orders of one moment.
func (s *Store) Report(ctx context.Context, q view.Question) (orders.Figures, error) {
	t := view.NewTally(q)
	err := pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		for _, ask := range []func(context.Context, pgx.Tx, view.Question, *view.Tally) error{askOrders, askProducts, askOpen} {
			if err := ask(ctx, tx, q, t); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return orders.Figures{}, fmt.Errorf("report from %s: %w", s.Name(), err)
	}
	return t.Figures(), nil
}

// placed are the conditions of the orders that a report is about.
func placed(q view.Question) *conditions {
	c := of(q)
	c.add("placed_at >= %s", q.From)
	c.add("placed_at < %s", q.Until)
	return c
}

// of are the conditions of all orders that a question can be about.
func of(q view.Question) *conditions {
	c := &conditions{}
	if q.Customer != "" {
		c.add("customer_id = %s", q.Customer)
	}
	return c
}

func askOrders(ctx context.Context, tx pgx.Tx, q view.Question, t *view.Tally) error {
	c := placed(q)
	rows, err := tx.Query(ctx, `SELECT (placed_at AT TIME ZONE 'UTC')::date, status, currency,
			count(*), least(sum(total), `+most+`)::bigint, least(sum(refunded), `+most+`)::bigint
		FROM orders.orders WHERE `+c.sql()+` GROUP BY 1, 2, 3`, c.args...)
	if err != nil {
		return err
	}
	var day time.Time
	var g view.Group
	_, err = pgx.ForEachRow(rows, []any{&day, &g.Status, &g.Currency, &g.Orders, &g.Total, &g.Refunded}, func() error {
		g.Day = view.DayOf(day)
		t.AddOrders(g)
		return nil
	})
	return err
}

// askProducts needs no more products than are asked for: they are in their order.
func askProducts(ctx context.Context, tx pgx.Tx, q view.Question, t *view.Tally) error {
	c := placed(q)
	c.add("status <> %s", string(orders.Cancelled))
	rows, err := tx.Query(ctx, `SELECT line.sku, currency, count(DISTINCT key),
			least(sum(line.quantity), `+most+`)::bigint, least(sum(line.quantity::numeric * line.price), `+most+`)::bigint
		FROM orders.orders, jsonb_to_recordset(lines) AS line(sku text, quantity bigint, price bigint)
		WHERE `+c.sql()+` GROUP BY 1, 2 ORDER BY 4 DESC, 5 DESC, line.sku COLLATE "C", currency COLLATE "C" LIMIT `+c.param(q.Top), c.args...)
	if err != nil {
		return err
	}
	var p orders.SKUSales
	_, err = pgx.ForEachRow(rows, []any{&p.SKU, &p.Revenue.Currency, &p.Orders, &p.Quantity, &p.Revenue.Minor}, func() error {
		t.AddProduct(p)
		return nil
	})
	return err
}

func askOpen(ctx context.Context, tx pgx.Tx, q view.Question, t *view.Tally) error {
	c := of(q)
	where := c.sql()
	if where != "" {
		where += " AND "
	}
	younger := func(age time.Duration) string {
		return "count(*) FILTER (WHERE placed_at > " + c.param(q.Now.Add(-age)) + ")"
	}
	ages := younger(view.Hour) + ", " + younger(view.Day) + ", " + younger(view.Days3) + ", " + younger(view.Days7)
	rows, err := tx.Query(ctx, `SELECT waiting.*, oldest.placed_at, oldest.key FROM (
			SELECT status, count(*), `+ages+` FROM orders.orders
			WHERE `+where+`status = ANY (`+c.param(open())+`) GROUP BY status
		) AS waiting CROSS JOIN LATERAL (
			SELECT placed_at, key FROM orders.orders
			WHERE `+where+`status = waiting.status ORDER BY placed_at, key LIMIT 1
		) AS oldest`, c.args...)
	if err != nil {
		return err
	}
	var o orders.OpenOrders
	var hour, day, days3, days7 int64
	_, err = pgx.ForEachRow(rows, []any{&o.Status, &o.Orders, &hour, &day, &days3, &days7, &o.Oldest, &o.OldestOrder}, func() error {
		o.Under1Hour, o.Under1Day, o.Under3Days, o.Under7Days, o.Older = hour, day-hour, days3-day, days7-days3, o.Orders-days7
		t.AddOpen(o)
		return nil
	})
	return err
}

// open are the statuses of orders to which more is to come.
func open() []string {
	var list []string
	for _, status := range orders.Statuses() {
		if (view.Row{Status: status}).Open() {
			list = append(list, string(status))
		}
	}
	return list
}

// Customer implements view.Store.
func (s *Store) Customer(ctx context.Context, id string) (sum view.Summary, err error) {
	err = s.Guarded(ctx, func(ctx context.Context) error {
		sum, err = s.sumUp(ctx, id)
		return err
	})
	return sum, err
}

func (s *Store) sumUp(ctx context.Context, id string) (view.Summary, error) {
	rows, err := s.pool.Query(ctx, `SELECT currency, count(*), count(*) FILTER (WHERE status = 'cancelled'), count(*) FILTER (WHERE status = 'delivered'),
			min(placed_at), least(coalesce(sum(total) FILTER (WHERE captured), 0), `+most+`)::bigint,
			least(coalesce(sum(refunded) FILTER (WHERE captured), 0), `+most+`)::bigint
		FROM (SELECT currency, status, total, refunded, placed_at, status IN ('dispatched', 'shipped', 'delivered') AS captured
			FROM orders.orders WHERE customer_id = $1) AS own
		GROUP BY currency ORDER BY currency`, id)
	var sum view.Summary
	if err != nil {
		return sum, fmt.Errorf("sum up a customer from %s: %w", s.Name(), err)
	}
	var currency string
	var n, cancelled, delivered, captured, refunded int64
	var first time.Time
	_, err = pgx.ForEachRow(rows, []any{&currency, &n, &cancelled, &delivered, &first, &captured, &refunded}, func() error {
		sum.Orders, sum.Cancelled, sum.Delivered = sum.Orders+n, sum.Cancelled+cancelled, sum.Delivered+delivered
		if sum.First.IsZero() || first.Before(sum.First) {
			sum.First = first.UTC()
		}
		if captured > 0 {
			sum.Spent = append(sum.Spent, money.New(captured-refunded, currency))
		}
		return nil
	})
	if err != nil {
		return view.Summary{}, fmt.Errorf("sum up a customer from %s: %w", s.Name(), err)
	}
	return sum, nil
}
