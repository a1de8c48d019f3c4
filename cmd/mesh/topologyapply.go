package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/cmd/mesh/topology"
)

func topologyApply(c *cli) *cobra.Command {
	var o topologyOptions
	cmd := &cobra.Command{
		Use: "apply", Short: "Do what plan shows; nothing is ever deleted or made smaller", Args: exactly(),
		Long: "Create and change what 'mesh topology plan' shows, and nothing else. Nothing is deleted, and what\n" +
			"would lose something is refused by name: fewer copies, a smaller limit, a subject less, another number\n" +
			"of partitions. As long as anything is refused, nothing at all is done.\n" +
			"The durable consumers are made here, so that no service needs the right to make one.",
		Example: "  mesh topology apply --nats nats://10.0.0.5:4222 --replicas 3\n  mesh topology apply --replicas 1 --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.connected(cmd.Context(), func(ctx context.Context, conn *bus.Conn) error {
				return runTopologyApply(ctx, c, &o, conn)
			})
		},
	}
	o.add(cmd)
	return cmd
}

func runTopologyApply(ctx context.Context, c *cli, o *topologyOptions, conn *bus.Conn) error {
	items, err := o.compare(ctx, conn)
	if err != nil {
		return err
	}
	sum := topology.Count(items)
	if sum.Refused > 0 {
		if err := c.printPlan(o.replicas, items); err != nil {
			return err
		}
		return fmt.Errorf("nothing was done, because of: %s", strings.Join(topology.Refusals(items), "; "))
	}
	p := topology.Planner{JetStream: conn.JetStream(), Replicas: o.replicas}
	for _, item := range topology.Differing(items) {
		if err := p.Apply(ctx, item); err != nil {
			return err
		}
	}
	if c.json {
		return c.printJSON(applyNote{Replicas: o.replicas, Applied: topology.Names(topology.Differing(items)), Tally: sum})
	}
	if sum.Create+sum.Update == 0 {
		_, err = fmt.Fprintf(c.out, "nothing to do: %d streams, buckets and consumers are as they should be\n", len(items))
		return err
	}
	_, err = fmt.Fprintf(c.out, "created %d and changed %d with %d replicas: %s\n",
		sum.Create, sum.Update, o.replicas, strings.Join(topology.Names(topology.Differing(items)), ", "))
	return err
}

// applyNote is what was done, for programs.
type applyNote struct {
	Replicas int      `json:"replicas"`
	Applied  []string `json:"applied"`
	topology.Tally
}
