package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/ordermesh/ordermesh/bus/view"
)

// Page implements view.Store.
func (s *Store[R]) Page(ctx context.Context, q view.Query) (page []view.Placed[R], err error) {
	l, ok := s.table.List(q.List)
	if !ok || q.Limit <= 0 {
		return nil, nil
	}
	sql, args, err := s.pageSQL(l, q)
	if err != nil {
		return nil, err
	}
	err = s.Guarded(ctx, func(ctx context.Context) error {
		page, err = s.readPage(ctx, l, sql, args)
		return err
	})
	return page, err
}

func (s *Store[R]) readPage(ctx context.Context, l List, sql string, args []any) ([]view.Placed[R], error) {
	rows, err := s.pool.Query(ctx, sql, args...)
	if err != nil {
		return nil, classify(err)
	}
	defer rows.Close()
	var page []view.Placed[R]
	for rows.Next() {
		target, text := l.Order.target()
		e, err := s.scan(rows, target)
		if err != nil {
			return nil, classify(err)
		}
		page = append(page, view.Placed[R]{Entry: e, Order: text()})
	}
	return page, classify(rows.Err())
}

// pageSQL asks for rows behind a position by comparing order and key as one, which an
// index over both answers.
func (s *Store[R]) pageSQL(l List, q view.Query) (string, []any, error) {
	order, args := l.Order.sql(), slices.Clone(l.Args)
	var where []string
	if l.Where != "" {
		where = append(where, "("+l.Where+")")
	}
	compare := func(left, operator, text string, more ...any) error {
		p, err := l.Order.param(text)
		if err != nil {
			return err
		}
		right := fmt.Sprintf("$%d", len(args)+1)
		if args = append(args, p); len(more) > 0 {
			right = fmt.Sprintf("(%s, $%d)", right, len(args)+1)
			args = append(args, more...)
		}
		where = append(where, left+" "+operator+" "+right)
		return nil
	}
	beyond, direction := ">", ""
	if q.Newest {
		beyond, direction = "<", " DESC"
	}
	where = append(where, order+" IS NOT NULL")
	if !q.After.IsZero() {
		if err := compare("("+order+`, key COLLATE "C")`, beyond, q.After.Order, q.After.Key); err != nil {
			return "", nil, view.ErrCursor.At("/cursor")
		}
	}
	for _, bound := range []struct{ operator, text string }{{">=", q.From}, {"<", q.Until}} {
		if bound.text == "" {
			continue
		}
		if err := compare(order, bound.operator, bound.text); err != nil {
			return "", nil, fmt.Errorf("list %s: %w", q.List, err)
		}
	}
	args = append(args, q.Limit)
	return fmt.Sprintf("SELECT %s, %s FROM %s WHERE %s ORDER BY %s%s, key COLLATE \"C\"%s LIMIT $%d",
		strings.Join(s.sql.columns, ", "), order, s.sql.table, strings.Join(where, " AND "), order, direction, direction, len(args)), args, nil
}
