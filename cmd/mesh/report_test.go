package main

import (
	"encoding/csv"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ordermesh/ordermesh/contracts/money"
	"github.com/ordermesh/ordermesh/contracts/orders"
	"github.com/ordermesh/ordermesh/embedded/postgres/postgrestest"
)

// TestListsAndReports: orders are placed, listed, searched for and reported on, with the
// views in memory and in PostgreSQL.
func TestListsAndReports(t *testing.T) {
	t.Parallel()
	for name, database := range map[string]func(*testing.T) string{
		"memory":     func(*testing.T) string { return "" },
		"PostgreSQL": func(t *testing.T) string { t.Helper(); return postgrestest.Database(t) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := "DATABASE_URL=" + database(t)
			mesh := launchMeshWith(t, []string{url}, devArgs("--ephemeral", "--seed=false")...)
			mesh.awaitReady()
			listsAndReports(t, mesh)
			if name == "memory" {
				return
			}
			code, out := runTool(t, []string{url, "NATS_URL=" + mesh.note.NATS}, "view", "verify")
			if code != exitGood || strings.Count(out, "ok ") != len(storedViews()) {
				t.Errorf("mesh view verify: exit code %d: %s", code, out)
			}
		})
	}
}

func listsAndReports(t *testing.T, mesh *child) {
	t.Helper()
	s := mesh.shop()
	s.stock("TEA-001", 1299, 6)
	s.stock("POT-001", 4500, 100)
	var delivered, cancelled []string
	for _, order := range []string{
		orderJSON("TEA-001", 2, "tok_ok"), orderJSON("TEA-001", 3, "tok_ok"), orderJSON("POT-001", 1, "tok_ok"),
		orderJSON("POT-001", 1, "tok_declined"), orderJSON("TEA-001", 5, "tok_ok"),
	} {
		o := s.ended(s.place(order).OrderID)
		if o.Status == orders.Delivered {
			delivered = append([]string{o.OrderID}, delivered...)
		} else {
			cancelled = append([]string{o.OrderID}, cancelled...)
		}
	}
	s.must("orders.refund", fmt.Sprintf(`{"order_id":%q,"amount":{"amount":1000,"currency":"EUR"},"reason":"late"}`, delivered[0]))
	last := s.order(delivered[0])
	for last.Refunded.Minor == 0 {
		last = decode[orders.Order](t, s.must("orders.get", fmt.Sprintf(`{"order_id":%q,"min_version":%d}`, last.OrderID, last.Version+1)))
	}
	seen := fmt.Sprintf(`"reflects":{"id":%q,"version":%d}`, last.OrderID, last.Version)

	list := func(filter string) []string {
		ids := []string{}
		for cursor := ""; ; {
			page := decode[orders.Orders](t, s.must("orders.list", fmt.Sprintf(`{%s,"limit":2,"cursor":%q%s}`, seen, cursor, filter)))
			for _, o := range page.Orders {
				ids = append(ids, o.OrderID)
			}
			if cursor = page.NextCursor; cursor == "" {
				return ids
			}
		}
	}
	day := last.PlacedAt.UTC().Format(time.DateOnly)
	for filter, want := range map[string][]string{
		`,"status":"delivered"`: delivered,
		`,"status":"cancelled"`: cancelled,
		`,"status":"on_hold"`:   {},
		fmt.Sprintf(`,"until":%q,"status":"delivered"`, last.PlacedAt.Format(time.RFC3339Nano)): delivered[1:],
		fmt.Sprintf(`,"from":%q,"status":"delivered"`, last.PlacedAt.Format(time.RFC3339Nano)):  delivered[:1],
		fmt.Sprintf(`,"order_id_prefix":%q`, last.OrderID[:20]):                                 {last.OrderID},
	} {
		if diff := cmp.Diff(want, list(filter)); diff != "" {
			t.Errorf("orders with %s: %s", filter, diff)
		}
	}
	for method, want := range map[string]int{
		`catalog.list {"sku_prefix":"TEA","active":true}`: 1, `inventory.list {"available_below":2}`: 1,
		`payments.list {"status":"captured"}`: 3, `shipping.list {"status":"delivered"}`: 3,
	} {
		name, body, _ := strings.Cut(method, " ")
		if n := strings.Count(string(s.must(name, body)), `"version"`); n != want {
			t.Errorf("%s: %d, want %d", method, n, want)
		}
	}
	figures := decode[orders.Figures](t, s.must("orders.report", "{"+seen+"}"))
	checkFigures(t, figures, day)
	checkReport(t, mesh.note.NATS, figures, day)
}

func checkFigures(t *testing.T, f orders.Figures, day string) {
	t.Helper()
	eur := func(minor int64) money.Amount { return money.New(minor, "EUR") }
	revenue := orders.Revenue{
		Orders: 5, Placed: eur(5*1299 + 2*4500 + 5*1299), Captured: eur(5*1299 + 4500), Delivered: eur(5*1299 + 4500),
		Cancelled: eur(4500 + 5*1299), Refunded: eur(1000), Net: eur(5*1299 + 3500),
	}
	ofDay := revenue
	ofDay.Day = day
	want := orders.Figures{
		From: f.From, Until: f.Until, Behind: f.Behind,
		Days:    []orders.Day{{Day: day, Orders: 5, ByStatus: map[orders.Status]int64{orders.Delivered: 3, orders.Cancelled: 2}}},
		Revenue: []orders.Revenue{ofDay}, Totals: []orders.Revenue{revenue}, Open: []orders.OpenOrders{},
		TopSKUs: []orders.SKUSales{
			{SKU: "TEA-001", Orders: 2, Quantity: 5, Revenue: eur(5 * 1299)}, {SKU: "POT-001", Orders: 1, Quantity: 1, Revenue: eur(4500)},
		},
	}
	if diff := cmp.Diff(want, f); diff != "" && time.Now().UTC().Format(time.DateOnly) == day { // not at midnight
		t.Error(diff)
	}
	if f.Until.Sub(f.From) != orders.DefaultReportRange || f.Until.Location() != time.UTC {
		t.Errorf("from %v until %v", f.From, f.Until)
	}
}

// checkReport runs the command.
func checkReport(t *testing.T, url string, f orders.Figures, day string) {
	t.Helper()
	code, text := runMesh(t, "report", "--nats", url)
	for _, line := range []string{
		`5 orders placed from \S+ \S+ until \S+ \S+ UTC`, `DAY +ORDERS +PLACED .*CANCELLED`, day + ` +5 .* 3 +2`,
		day + ` +EUR +5 +219\.90 +109\.95 +109\.95 +109\.95 +10\.00 +99\.95`, `total +EUR .*`, `TEA-001 +5 +2 +64\.95  EUR`,
	} {
		if !regexp.MustCompile(`(?m)^` + line + `$`).MatchString(text) {
			t.Errorf("exit code %d, no line %s in\n%s", code, line, text)
		}
	}
	code, text = runMesh(t, "report", "--nats", url, "--json", "--days", "2")
	answer := decode[orders.Figures](t, []byte(text))
	if answer.Until.Sub(answer.From) != 48*time.Hour || code != exitGood {
		t.Errorf("exit code %d, %s", code, text)
	}
	answer.From, answer.Until, answer.Behind = f.From, f.Until, f.Behind
	if diff := cmp.Diff(f, answer); diff != "" {
		t.Error(diff)
	}
	code, text = runMesh(t, "report", "--nats", url, "--csv", "revenue", "--customer", "c1")
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if code != exitGood || err != nil || len(rows) != 2 || slices.Index(rows[0], "net") != 8 || rows[1][8] != "9995" {
		t.Errorf("exit code %d, %v: %s", code, err, text)
	}
	code, text = runMesh(t, "report", "--nats", url, "--until", "2020-01-01")
	if code != exitGood || !strings.HasPrefix(text, "0 orders placed from 2019-12-02 00:00 until 2020-01-01 00:00 UTC\n") {
		t.Errorf("exit code %d: %s", code, text)
	}
}

func TestReportRefuses(t *testing.T) {
	t.Parallel()
	for _, args := range []string{
		"--days 3 --from 2026-01-01", "--days 367", "--days -1", "--from yesterday", "--until 2026-01-01 --from 2026-01-01", "--csv all",
		"--customer a.b", "--top 101", "--top -1", "--from 2024-01-01 --until 2026-01-01", "more",
	} {
		if code, text := runMesh(t, append([]string{"report"}, strings.Fields(args)...)...); code != exitUsage {
			t.Errorf("mesh report %s: exit code %d: %s", args, code, text)
		}
	}
}

func TestReportTablesAreAligned(t *testing.T) {
	t.Parallel()
	g := grid{right: rightColumns("top")}
	g.header("SKU", "PIECES", "ORDERS", "REVENUE", "CURRENCY")
	g.add(cell{text: "TEA-001"}, cell{text: "5"}, cell{text: "2"}, cell{text: "64.95"}, cell{text: "EUR"})
	g.add(cell{text: "T"}, cell{text: "12345678"}, cell{text: "22"}, cell{text: "1.00"}, cell{text: "EUR"})
	want := []string{
		"SKU        PIECES  ORDERS  REVENUE  CURRENCY",
		"TEA-001         5       2    64.95  EUR",
		"T        12345678      22     1.00  EUR",
	}
	if diff := cmp.Diff(want, g.lines(&cli{}, "")); diff != "" {
		t.Error(diff)
	}
}
