package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/cmd/mesh/judge"
)

func verifyCommand(c *cli) *cobra.Command {
	var n natsFlags
	var o judge.Options
	cmd := &cobra.Command{
		Use: "verify", Short: "Check everything that is stored against what is promised", GroupID: groupLook,
		Long: "Read every stream and the books of the outside firms, and check what is promised:\n" +
			"histories without gaps, stock and money that add up, one charge per order, no order left behind.\n" +
			"Nothing is changed. Exit code 1 means that a promise is broken.",
		Example: "  mesh verify\n  mesh verify --at-rest            # no work is going on: hold it to the end state, too\n" +
			"  mesh verify --acked placed.txt   # these order ids must exist",
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error { return runVerify(cmd.Context(), c, &n, o) },
	}
	f := cmd.Flags()
	n.add(f)
	f.BoolVar(&o.AtRest, "at-rest", false, "no client, flow or parcel is on its way")
	f.StringVar(&o.AckedFile, "acked", "", "`file` with ids of orders that were acknowledged, one a line")
	return cmd
}

func runVerify(ctx context.Context, c *cli, n *natsFlags, o judge.Options) error {
	conn, err := n.connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	report, err := judge.Run(ctx, conn.NATS(), o)
	if errors.Is(err, judge.ErrNoMesh) {
		return usagef("the server at %s has none of the mesh's streams: name another with --nats", bus.Redacted(n.address()))
	}
	if err != nil {
		return err
	}
	if c.json {
		err = c.printJSON(report)
	} else {
		err = report.Print(c.out)
	}
	if err == nil && !report.Clean {
		return errSaid
	}
	return err
}
