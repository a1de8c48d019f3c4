package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/cmd/mesh/topology"
)

// productionReplicas is how many copies a stream needs to survive the loss of one.
const productionReplicas = 3

// topologyOptions are the flags of the commands that compare or change a mesh.
type topologyOptions struct {
	nats     natsFlags
	replicas int
}

func (o *topologyOptions) add(cmd *cobra.Command) {
	o.nats.add(cmd.Flags())
	cmd.Flags().IntVar(&o.replicas, "replicas", productionReplicas, "`copies` of each stream: 3 or 5, or 1 on a single server")
}

// compare plans for every service of the mesh.
func (o *topologyOptions) compare(ctx context.Context, conn *bus.Conn) ([]topology.Item, error) {
	all := descriptors(allServices())
	p := topology.Planner{JetStream: conn.JetStream(), Replicas: o.replicas}
	return p.Plan(ctx, contract.Streams(all...), contract.Consumers(all...))
}

// connected checks the flags, connects and calls f with a context that ends in time.
func (o *topologyOptions) connected(ctx context.Context, f func(ctx context.Context, conn *bus.Conn) error) error {
	if o.replicas != 1 && o.replicas != productionReplicas && o.replicas != 5 {
		return usagef("--replicas %d is not possible: use 1 or %d, or 5 where there are as many servers", o.replicas, productionReplicas)
	}
	conn, err := o.nats.connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	return f(ctx, conn)
}

func topologyCommand(c *cli) *cobra.Command {
	return group("topology", "Plan, create and check the streams, buckets and consumers of all services",
		"  mesh topology plan\n  mesh topology apply --replicas 3\n  mesh topology check",
		topologyPlan(c), topologyApply(c), topologyCheck(c), topologyExport(c))
}

func topologyPlan(c *cli) *cobra.Command {
	var o topologyOptions
	cmd := &cobra.Command{
		Use: "plan", Short: "Show what apply would create and change, and what it would refuse", Args: exactly(),
		Long: "Compare the streams, buckets and durable consumers of a server with what the services need.\n" +
			"Only differences are shown: + would be created, ~ would be changed, ! would be refused, because\n" +
			"something would be lost or because it cannot be changed. Settings that the mesh does not depend on\n" +
			"are not looked at. Exit code 1 means that something would be refused.",
		Example: "  mesh topology plan --nats nats://10.0.0.5:4222\n  mesh topology plan --replicas 1 --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.connected(cmd.Context(), func(ctx context.Context, conn *bus.Conn) error {
				items, err := o.compare(ctx, conn)
				if err != nil {
					return err
				}
				if err := c.printPlan(o.replicas, items); err != nil {
					return err
				}
				if topology.Count(items).Refused > 0 {
					return errSaid
				}
				return nil
			})
		},
	}
	o.add(cmd)
	return cmd
}

// planNote is a plan for programs.
type planNote struct {
	Replicas int             `json:"replicas"`
	Items    []topology.Item `json:"items"` // what differs
	topology.Tally
}

func (c *cli) printPlan(replicas int, items []topology.Item) error {
	differ, sum := topology.Differing(items), topology.Count(items)
	if c.json {
		return c.printJSON(planNote{Replicas: replicas, Items: append([]topology.Item{}, differ...), Tally: sum})
	}
	var text strings.Builder
	for _, item := range differ {
		switch item.Action {
		case topology.Create:
			fmt.Fprintf(&text, "%s %s\n", c.paint(green, "+"), item)
		case topology.Update:
			fmt.Fprintf(&text, "%s %s\n", c.paint(yellow, "~"), item)
		case topology.Refuse:
			fmt.Fprintf(&text, "%s %s\n", c.paint(red, "!"), item)
		}
		for _, d := range item.Differences {
			fmt.Fprintf(&text, "    %s\n", d)
		}
	}
	if len(differ) == 0 {
		text.WriteString("nothing to do: ")
	}
	fmt.Fprintf(&text, "%d streams, buckets and consumers with %d copies: %d to create, %d to change, %d refused\n",
		len(items), replicas, sum.Create, sum.Update, sum.Refused)
	_, err := fmt.Fprint(c.out, text.String())
	return err
}

func topologyCheck(c *cli) *cobra.Command {
	o := topologyOptions{replicas: productionReplicas}
	var look serverLook
	cmd := &cobra.Command{
		Use: "check", Short: "Compare a mesh with what production needs", Args: exactly(),
		Long: "Compare the streams, buckets and durable consumers of a server with what production needs.\n" +
			"With credentials of the system account the servers are looked at as well: whether each write\n" +
			"reaches the disk before its acknowledgement (sync_interval: always), and where they store.",
		Example: "  mesh topology check --nats nats://10.0.0.5:4222\n  mesh topology check --system-creds ops/creds/sys.creds",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.connected(cmd.Context(), func(ctx context.Context, conn *bus.Conn) error {
				return runTopologyCheck(ctx, c, &o, &look, conn)
			})
		},
	}
	o.nats.add(cmd.Flags())
	look.add(cmd.Flags())
	return cmd
}

func runTopologyCheck(ctx context.Context, c *cli, o *topologyOptions, look *serverLook, conn *bus.Conn) error {
	all := descriptors(allServices())
	p := topology.Planner{JetStream: conn.JetStream(), Replicas: o.replicas, More: true}
	items, err := p.Plan(ctx, contract.Streams(all...), contract.Consumers(all...))
	if err != nil {
		return err
	}
	found := topology.Problems(items)
	seen := "the servers themselves were not looked at: that takes --system-creds"
	if look.asked() {
		servers, wrong, err := look.at(ctx, &o.nats)
		if err != nil {
			return err
		}
		found = append(found, wrong...)
		seen = fmt.Sprintf("%d servers write through to their disks", servers)
	}
	if c.json {
		err = c.printJSON(map[string]any{"good": len(found) == 0, "problems": append([]string{}, found...), "servers_seen": look.asked()})
	} else if len(found) == 0 {
		_, err = fmt.Fprintf(c.out, "every stream, bucket and consumer is as production needs it; %s\n", seen)
	}
	if err == nil && len(found) > 0 {
		err = fmt.Errorf("%d things are not as production needs them: %s; 'mesh topology plan' shows what 'mesh topology apply' can mend",
			len(found), strings.Join(found, "; "))
	}
	return err
}
