package main

import (
	"context"
	"encoding/csv"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ordermesh/ordermesh/bus/rpc"
	"github.com/ordermesh/ordermesh/contracts/money"
	"github.com/ordermesh/ordermesh/contracts/orders"
)

func reportCommand(c *cli) *cobra.Command {
	var nats natsFlags
	var req orders.ReportOrders
	var from, until, table string
	var days int
	cmd := &cobra.Command{
		Use: "report", Short: "What was ordered, what it brought, what sells and what waits", GroupID: groupLook,
		Long: "Report on the orders that were placed in a range of time, the last thirty days unless told: how many a day\n" +
			"and how they stand, what they brought, the products that sold most; and on all open orders, by their age.\n\n" +
			"Days are in UTC. Captured is what was taken (dispatched, shipped, delivered), net is captured less refunded;\n" +
			"what is neither captured nor cancelled is still open. Lines of cancelled orders do not count as sold.",
		Example: "  mesh report\n  mesh report --days 7 --top 20\n  mesh report --from 2026-11-01 --until 2026-12-01\n" +
			"  mesh report --customer c1 --json\n  mesh report --days 90 --csv revenue > revenue.csv",
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if req.From, req.Until, err = reportRange(from, until, days, time.Now()); err != nil {
				return err
			}
			if table != "" && !slices.Contains(reportTables(), table) {
				return usagef("--csv %q: choose from %s", table, strings.Join(reportTables(), ", "))
			}
			if err := req.Validate(); err != nil {
				return usagef("%w", err)
			}
			conn, err := nats.connect(cmd.Context())
			if err != nil {
				return err
			}
			defer conn.Close()
			return c.report(cmd.Context(), rpc.NewClient(conn), req, table)
		},
	}
	flags := cmd.Flags()
	nats.add(flags)
	flags.StringVar(&from, "from", "", "orders placed on this `day` or later, such as 2026-11-01, or at this time, such as 2026-11-01T08:00:00Z")
	flags.StringVar(&until, "until", "", "orders placed before this `day` or time; now by default")
	flags.IntVar(&days, "days", 0, "orders of this `number` of days before --until, instead of --from")
	flags.StringVar(&req.CustomerID, "customer", "", "only orders of the customer with this `id`")
	flags.IntVar(&req.Top, "top", orders.DefaultTop, "at most this `number` of products")
	flags.StringVar(&table, "csv", "", "print one `table` as CSV, amounts in minor units: "+strings.Join(reportTables(), ", "))
	return cmd
}

// reportRange is the range that the flags name; a zero time leaves it to the service.
func reportRange(fromText, untilText string, days int, now time.Time) (from, until time.Time, err error) {
	if from, err = dayOrTime("from", fromText); err != nil {
		return from, until, err
	}
	if until, err = dayOrTime("until", untilText); err != nil || days == 0 {
		return from, until, err
	}
	switch {
	case !from.IsZero():
		return from, until, usagef("--days and --from say the same: give one of them")
	case days < 0 || days > 366:
		return from, until, usagef("--days %d: 1 to 366", days)
	case until.IsZero():
		until = now.UTC()
	}
	return until.AddDate(0, 0, -days), until, nil
}

func dayOrTime(flag, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	return time.Time{}, usagef("--%s %q: give a day such as 2026-11-01 or a time such as 2026-11-01T08:00:00Z", flag, text)
}

func (c *cli) report(ctx context.Context, client *rpc.Client, req orders.ReportOrders, table string) error {
	figures, err := ask(ctx, client, orders.Report, req)
	switch {
	case err != nil:
		return err
	case table != "":
		return c.printCSV(reportTable(figures, table, false))
	case c.json:
		return c.printJSON(figures)
	}
	return c.printReport(figures)
}

func (c *cli) printCSV(rows [][]string) error {
	w := csv.NewWriter(c.out)
	if err := w.WriteAll(rows); err != nil {
		return fmt.Errorf("write CSV: %w", err)
	}
	return nil
}

func (c *cli) printReport(f orders.Figures) error {
	total := int64(0)
	for _, day := range f.Days {
		total += day.Orders
	}
	const minute = "2006-01-02 15:04"
	lines := []string{fmt.Sprintf("%d orders placed from %s until %s UTC", total, f.From.UTC().Format(minute), f.Until.UTC().Format(minute))}
	for _, table := range reportTables() {
		rows := reportTable(f, table, true)
		if len(rows) == 1 {
			continue
		}
		g := grid{right: rightColumns(table)}
		g.header(rows[0]...)
		for _, row := range rows[1:] {
			cells := make([]cell, len(row))
			for i, text := range row {
				cells[i].text = text
			}
			g.add(cells...)
		}
		lines = append(lines, "", c.bold(reportTitles[table]))
		lines = append(lines, g.lines(c, "")...)
	}
	if f.Behind > 0 {
		lines = append(lines, c.dim(fmt.Sprintf("the report is %d messages behind", f.Behind)))
	}
	if f.Halted {
		lines = append(lines, c.paint(red, "the view of orders stands still: see 'mesh view status'"))
	}
	_, err := fmt.Fprintln(c.out, strings.Join(lines, "\n"))
	return err
}

var reportTitles = map[string]string{
	"days": "Orders per day", "revenue": "Revenue", "top": "What sold most", "open": "Open orders by age",
}

// reportTables are the tables of a report in their order.
func reportTables() []string { return []string{"days", "revenue", "top", "open"} }

// rightColumns are the columns of numbers.
func rightColumns(table string) func(int) bool {
	text := map[string][]int{"days": {0}, "revenue": {0, 1}, "top": {0, 4}, "open": {0, 7, 8}}[table]
	return func(i int) bool { return !slices.Contains(text, i) }
}

// reportTable is a table of a report with its titles; for people or, else, for programs.
func reportTable(f orders.Figures, table string, people bool) [][]string {
	rows := map[string]func(orders.Figures, bool) [][]string{
		"days": dayRows, "revenue": revenueRows, "top": topRows, "open": openRows,
	}[table](f, people)
	for i, title := range rows[0] {
		if people {
			rows[0][i] = strings.ToUpper(title)
		} else {
			rows[0][i] = strings.ReplaceAll(title, " ", "_")
		}
	}
	return rows
}

func dayRows(f orders.Figures, _ bool) [][]string {
	titles := []string{"day", "orders"}
	for _, status := range orders.Statuses() {
		titles = append(titles, strings.ReplaceAll(string(status), "_", " "))
	}
	rows := [][]string{titles}
	for _, day := range f.Days {
		row := []string{day.Day, number(day.Orders)}
		for _, status := range orders.Statuses() {
			row = append(row, number(day.ByStatus[status]))
		}
		rows = append(rows, row)
	}
	return rows
}

func revenueRows(f orders.Figures, people bool) [][]string {
	rows := [][]string{{"day", "currency", "orders", "placed", "captured", "delivered", "cancelled", "refunded", "net"}}
	list := f.Revenue
	if people {
		list = slices.Concat(f.Revenue, f.Totals)
	}
	for _, r := range list {
		row := []string{r.Day, r.Placed.Currency, number(r.Orders)}
		if r.Day == "" {
			row[0] = "total"
		}
		for _, a := range []money.Amount{r.Placed, r.Captured, r.Delivered, r.Cancelled, r.Refunded, r.Net} {
			row = append(row, amountText(a, people))
		}
		rows = append(rows, row)
	}
	return rows
}

func topRows(f orders.Figures, people bool) [][]string {
	rows := [][]string{{"sku", "pieces", "orders", "revenue", "currency"}}
	for _, s := range f.TopSKUs {
		rows = append(rows, []string{s.SKU, number(s.Quantity), number(s.Orders), amountText(s.Revenue, people), s.Revenue.Currency})
	}
	return rows
}

func openRows(f orders.Figures, people bool) [][]string {
	rows := [][]string{{"status", "orders", "under 1h", "under 1d", "under 3d", "under 7d", "older", "oldest", "oldest order"}}
	for _, o := range f.Open {
		status, oldest := string(o.Status), o.Oldest.UTC().Format(time.RFC3339)
		if people {
			status, oldest = strings.ReplaceAll(status, "_", " "), o.Oldest.UTC().Format(time.DateTime)
		}
		rows = append(rows, []string{
			status, number(o.Orders), number(o.Under1Hour), number(o.Under1Day), number(o.Under3Days), number(o.Under7Days), number(o.Older),
			oldest, o.OldestOrder,
		})
	}
	return rows
}

func number(n int64) string { return strconv.FormatInt(n, 10) }

// amountText is an amount without its currency, which has a column of its own.
func amountText(a money.Amount, people bool) string {
	if !people {
		return number(a.Minor)
	}
	text, _, _ := strings.Cut(a.String(), " ")
	return text
}
