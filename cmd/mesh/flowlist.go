package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/ordermesh/ordermesh/bus/flow"
	"github.com/ordermesh/ordermesh/bus/telemetry"
)

// flowStatuses are what --status takes.
func flowStatuses() []string {
	var list []string
	for _, s := range []flow.Status{flow.Running, flow.Compensating, flow.Stuck, flow.Completed, flow.Failed, flow.Cancelled} {
		list = append(list, string(s))
	}
	return list
}

func flowList(c *cli) *cobra.Command {
	var o flowFlags
	var limit int
	var status string
	cmd := &cobra.Command{
		Use: "list [flow]", Short: "List flows, those that changed last at the end",
		Example: "  mesh flow list\n  mesh flow list checkout --status stuck",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usagef("expected at most one flow; see '%s --help'", cmd.CommandPath())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if status != "" && !slices.Contains(flowStatuses(), status) {
				return usagef("there is no status %q: choose from %s", status, strings.Join(flowStatuses(), ", "))
			}
			q := flow.Query{Status: flow.Status(status), Limit: limit, Flow: strings.Join(args, "")}
			return runFlowList(cmd.Context(), c, &o, q)
		},
	}
	o.add(cmd)
	cmd.Flags().StringVar(&status, "status", "", "only with this `status`")
	cmd.Flags().IntVar(&limit, "limit", 100, "at most this `number` of each service")
	return cmd
}

// runFlowList asks every service that runs flows, or the one that is named or runs
// the named flow.
func runFlowList(ctx context.Context, c *cli, o *flowFlags, q flow.Query) error {
	services, err := o.servicesOf(q.Flow)
	if err != nil {
		return err
	}
	conn, err := o.nats.connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	list := []flowLine{}
	for _, service := range services {
		states, err := flow.NewClient(conn, service).List(ctx, q)
		if err != nil {
			return fmt.Errorf("list the flows of %s: %w", service, err)
		}
		for _, s := range states {
			list = append(list, flowLine{
				Service: service, Flow: s.Flow, ID: s.ID, Status: s.Status, Started: s.Started.UTC(),
				Reason: s.Reason,
			})
		}
	}
	if c.json {
		return c.printJSON(list)
	}
	return c.printFlows(list)
}

// servicesOf is the service of the named flow, or every service with flows.
func (o *flowFlags) servicesOf(name string) ([]string, error) {
	if name != "" || o.service != "" {
		service, err := o.serviceOf(name)
		return []string{service}, err
	}
	var list []string
	for _, d := range descriptors(allServices()) {
		if len(d.Flows) > 0 {
			list = append(list, d.Name)
		}
	}
	return list, nil
}

// flowLine is a flow in a list.
type flowLine struct {
	Service string      `json:"service"`
	Flow    string      `json:"flow"`
	ID      string      `json:"id"`
	Status  flow.Status `json:"status"`
	Started time.Time   `json:"started_at"`
	Reason  string      `json:"reason,omitzero"`
}

func (c *cli) printFlows(list []flowLine) error {
	if len(list) == 0 {
		_, err := fmt.Fprintln(c.out, "no flows")
		return err
	}
	table := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "SERVICE\tFLOW\tID\tSTATUS\tSTARTED\tREASON")
	for _, f := range list {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", f.Service, f.Flow, f.ID, f.Status,
			f.Started.Local().Format(time.DateTime), telemetry.Escape(f.Reason))
	}
	return table.Flush()
}
