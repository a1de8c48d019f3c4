package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ordermesh/ordermesh/bus/rpc"
	"github.com/ordermesh/ordermesh/bus/telemetry"
	"github.com/ordermesh/ordermesh/contracts/flows"
	"github.com/ordermesh/ordermesh/contracts/page"
)

func flowList(c *cli) *cobra.Command {
	var o flowFlags
	var req flows.ListFlows
	var status string
	var limit int
	cmd := &cobra.Command{
		Use: "ls [flow]", Aliases: []string{"list"}, Short: "List flows, those that started last first",
		Example: "  mesh flow ls\n  mesh flow ls checkout --status stuck\n  mesh flow ls --older-than 24h --status running --json",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usagef("expected at most one flow; see '%s --help'", cmd.CommandPath())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				req.Flow = args[0]
			}
			req.Service, req.Status = o.service, flows.Status(status)
			if limit < 1 {
				return usagef("--limit %d: at least 1", limit)
			}
			if err := req.Validate(); err != nil {
				return usagef("%w", err)
			}
			return o.with(cmd.Context(), func(ctx context.Context, client *rpc.Client) error {
				list, err := listFlows(ctx, client, req, limit)
				if err != nil {
					return err
				}
				if c.json {
					return c.printJSON(list)
				}
				return c.printFlows(list)
			})
		},
	}
	flags := cmd.Flags()
	o.nats.add(flags)
	flags.StringVar(&o.service, "service", "", "only flows of this `service`")
	flags.StringVar(&req.Flow, "flow", "", "only flows of this `name`")
	flags.StringVar(&status, "status", "", "only with this `status`: "+statusNames())
	flags.StringVar(&req.OlderThan, "older-than", "", "only those that started longer ago than this `age`, such as 36h")
	flags.StringVar(&req.YoungerThan, "younger-than", "", "only those that started not longer ago than this `age`")
	flags.IntVar(&limit, "limit", page.DefaultLimit, "at most this `number`")
	return cmd
}

func statusNames() string {
	var names []string
	for _, s := range flows.Statuses() {
		names = append(names, string(s))
	}
	return strings.Join(names, ", ")
}

// listFlows gathers as many pages as it takes.
func listFlows(ctx context.Context, client *rpc.Client, req flows.ListFlows, limit int) (flows.Instances, error) {
	all := flows.Instances{Flows: []flows.Instance{}}
	for {
		req.Limit = min(limit-len(all.Flows), page.MaxLimit)
		next, err := ask(ctx, client, flows.List, req)
		if err != nil {
			return all, err
		}
		all.Flows = append(all.Flows, next.Flows...)
		all.NextCursor, all.Behind, all.Forgotten = next.NextCursor, next.Behind, next.Forgotten
		if req.Cursor = next.NextCursor; req.Cursor == "" || len(all.Flows) >= limit {
			return all, nil
		}
	}
}

func (c *cli) printFlows(list flows.Instances) error {
	var g grid
	if len(list.Flows) > 0 {
		g.header("SERVICE", "FLOW", "ID", "STATUS", "STARTED", "CHANGED", "REASON")
	} else {
		g.add(cell{text: "no flows"})
	}
	for _, f := range list.Flows {
		g.add(cell{text: f.Service}, cell{text: f.Flow}, cell{text: f.ID}, cell{string(f.Status), statusColour(f.Status)},
			cell{text: f.StartedAt.Local().Format(time.DateTime)}, cell{text: ago(time.Since(f.UpdatedAt))}, cell{text: telemetry.Escape(f.Reason)})
	}
	lines := g.lines(c, "")
	for _, note := range []struct {
		n    uint64
		text string
	}{
		{list.Behind, "the list is %d messages behind"},
		{list.Forgotten, "%d that ended longer ago are not in the list any more; 'mesh flow show' still finds them"},
	} {
		if note.n > 0 {
			lines = append(lines, c.dim(fmt.Sprintf(note.text, note.n)))
		}
	}
	if list.NextCursor != "" {
		lines = append(lines, c.dim("there are more: see --limit"))
	}
	_, err := fmt.Fprintln(c.out, strings.Join(lines, "\n"))
	return err
}

// ago is a time that has passed, in one unit.
func ago(d time.Duration) string {
	switch {
	case d < time.Second:
		return "just now"
	case d < 2*time.Minute:
		return fmt.Sprintf("%ds ago", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%dm ago", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh ago", int(d.Hours()))
	}
	return fmt.Sprintf("%dd ago", int(d.Hours()/24))
}
