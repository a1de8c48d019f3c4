package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/policy"
	"github.com/ordermesh/ordermesh/bus/telemetry"
)

// callsLine is how the calls of an instance to one destination go, as JSON shows it.
type callsLine struct {
	Policy   string `json:"key"`
	Instance string `json:"instance"`
	Host     string `json:"host"`
	PID      int    `json:"pid"`
	policy.Status
	Reported time.Time `json:"reported"`
}

func policyLs(c *cli) *cobra.Command {
	var n natsFlags
	cmd := &cobra.Command{
		Use: "ls [service]", Short: "Show how the calls of every instance go: policy, breaker, numbers", Args: cobra.MaximumNArgs(1), ValidArgsFunction: completeService,
		Long: "Show what every running instance tells about the destinations that it calls: which policy is in force (revision 0 is\n" +
			"the built-in one), how the breaker stands and since when, and what has happened since the instance started.\n" +
			"A report is renewed every three seconds, and at once when a breaker opens or closes; 'nats sub \"policy.breaker.>\"'\n" +
			"shows these as they happen. The exit code is 1 when a breaker is open.",
		Example: "  mesh policy ls\n  mesh policy ls payments --json",
		RunE: func(cmd *cobra.Command, args []string) error {
			service := "*"
			if len(args) > 0 {
				if service = args[0]; !contract.ValidID(service) {
					return usagef("%q is no service", service)
				}
			}
			list, err := callsOf(cmd.Context(), &n, service)
			if err != nil {
				return err
			}
			if c.json {
				err = c.printJSON(list)
			} else {
				err = c.printCalls(list)
			}
			for _, l := range list {
				if l.Breaker == policy.Open && err == nil {
					return errSaid
				}
			}
			return err
		},
	}
	n.add(cmd.Flags())
	return cmd
}

// callsOf reads the reports of a service's instances.
func callsOf(ctx context.Context, n *natsFlags, service string) ([]callsLine, error) {
	conn, err := n.connect(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	reports, err := policy.Reports(ctx, conn, service)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		return nil, errors.New("the mesh has no policies yet: start a service, or create the buckets with 'mesh topology apply'")
	}
	list := []callsLine{}
	for _, r := range reports {
		for _, s := range r.Destinations {
			list = append(list, callsLine{contract.PolicyKey(r.Service, s.Destination), r.Instance, r.Host, r.PID, s, r.Reported})
		}
	}
	return list, err
}

func (c *cli) printCalls(list []callsLine) error {
	var g grid
	g.header("POLICY", "INSTANCE", "REVISION", "BREAKER", "SINCE", "SENT", "FAILED", "REPEATED", "KEPT BACK", "LIMITED")
	for _, l := range list {
		since := ""
		if l.Breaker != policy.NoBreak {
			since = time.Since(l.Since).Round(time.Second).String()
		}
		g.add(
			cell{text: telemetry.Escape(l.Policy)}, cell{telemetry.Escape(fmt.Sprintf("%s (%s:%d)", l.Instance, l.Host, l.PID)), dimmed},
			cell{text: fmt.Sprint(l.Revision)}, breakerCell(l.Breaker), cell{since, dimmed},
			cell{text: fmt.Sprint(l.Counts.Attempts)}, countCell(l.Counts.Failures), countCell(l.Counts.Repeats), countCell(l.Counts.Kept), countCell(l.Counts.Limited),
		)
	}
	return c.printGrid(&g)
}

func breakerCell(s policy.State) cell {
	return cell{string(s), map[policy.State]string{policy.Closed: green, policy.Open: red, policy.HalfOpen: yellow, policy.NoBreak: dimmed}[s]}
}

// countCell is a number that is worth a look when it is not 0.
func countCell(n int64) cell {
	if n == 0 {
		return cell{"0", dimmed}
	}
	return cell{text: fmt.Sprint(n)}
}

// printFields explains a policy of calls: what is built in, and what each value may be.
func (c *cli) printFields(list []policy.Field) error {
	if c.json {
		return c.printJSON(list)
	}
	var g grid
	g.header("NAME", "BUILT IN", "RANGE", "")
	for _, f := range list {
		g.add(cell{text: f.Path}, cell{f.Value, cyan}, cell{text: f.Range}, cell{f.Doc, dimmed})
	}
	return c.printGrid(&g)
}
