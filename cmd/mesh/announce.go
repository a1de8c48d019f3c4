package main

import (
	"fmt"
	"os"
	"strings"
	"text/tabwriter"
	"time"
)

// sampleOrder is the order that the first screen suggests.
const sampleOrder = `{"customer_id":"c1","lines":[{"sku":"TEA-001","quantity":2}],"payment":{"token":"tok_ok"},` +
	`"ship_to":{"name":"Ada","line1":"1 Main St","city":"Berlin","postal_code":"10115","country":"DE"}}`

// readyNote is what `mesh dev --json` prints once everything runs.
type readyNote struct {
	Ready    bool     `json:"ready"`
	ReadyMS  int64    `json:"ready_ms"`
	NATS     string   `json:"nats_url"`
	HTTP     string   `json:"http_url,omitzero"`
	Admin    string   `json:"admin_url,omitzero"`
	Database string   `json:"database_url,omitzero"`
	Redis    string   `json:"redis_url,omitzero"`
	Data     string   `json:"data"`
	PID      int      `json:"pid"`
	Services []string `json:"services"`
}

// announce says that everything runs, where, and what to try.
func (d *devMesh) announce() error {
	took := time.Since(d.cli.start)
	note := readyNote{
		Ready: true, ReadyMS: took.Milliseconds(), NATS: d.server.URL(), HTTP: d.web.open.url(), Admin: d.web.admin.url(), Database: d.backing.redacted(), Redis: d.backing.redis.redacted(),
		Data: d.directory, PID: os.Getpid(), Services: hostedNames(d.services),
	}
	if d.cli.json {
		return d.cli.printJSON(note)
	}
	c := d.cli
	inside := "/livez  /readyz?verbose  /metrics"
	if note.Admin != "" {
		inside = "/livez  /readyz"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n", c.bold(fmt.Sprintf("ordermesh is ready in %d ms", note.ReadyMS)))
	table := tabwriter.NewWriter(&b, 0, 0, 3, ' ', 0)
	fmt.Fprintf(table, "  NATS\t%s\t%s\n", note.NATS, c.dim("no password needed on this machine"))
	if note.HTTP != "" {
		fmt.Fprintf(table, "  HTTP\t%s\t%s\n", note.HTTP, c.dim("/api/v1/openapi.json  "+inside))
	}
	if note.Admin != "" {
		fmt.Fprintf(table, "  admin\t%s\t%s\n", note.Admin, c.dim("/livez  /readyz?verbose  /metrics"))
	}
	if note.Database != "" {
		fmt.Fprintf(table, "  views\t%s\t%s\n", note.Database, c.dim("DATABASE_URL for 'mesh view verify'"))
	}
	if note.Redis != "" {
		fmt.Fprintf(table, "  cache\t%s\t%s\n", note.Redis, c.dim("in Redis, behind that of each service"))
	}
	fmt.Fprintf(table, "  data\t%s\t\n", note.Data)
	if err := table.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(&b, "\n%s\n", c.bold("Try"))
	for _, line := range d.suggestions() {
		fmt.Fprintf(&b, "  %s\n", line)
	}
	fmt.Fprintf(&b, "\n%s\n", c.dim("Ctrl-C stops it."))
	_, err := c.out.Write([]byte(b.String()))
	return err
}

// suggestions are commands that work as they stand.
func (d *devMesh) suggestions() []string {
	nats, mesh := "nats", ""
	if d.server.Port() != defaultNATSPort {
		nats, mesh = "nats -s "+d.server.URL(), " --nats "+d.server.URL()
	}
	suggestions := []string{
		nats + " req svc.orders.place '" + sampleOrder + "'",
		nats + " req svc.orders.get '{\"order_id\":\"…\"}'      " + d.cli.dim("# the id from the answer"),
		nats + " sub --stream ORDERS 'evt.order.*'",
		nats + " micro ls",
		"mesh verify" + mesh,
	}
	if url := d.web.open.url(); url != "" {
		suggestions = append(suggestions, "curl "+url+"/api/v1/products")
	}
	return suggestions
}
