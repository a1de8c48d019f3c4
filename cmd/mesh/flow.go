package main

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/flow"
	"github.com/ordermesh/ordermesh/bus/telemetry"
)

func flowCommand(c *cli) *cobra.Command {
	return inGroup(groupLook, group("flow", "Look at durable flows, cancel them, help those that are stuck",
		"  mesh flow list --status stuck\n  mesh flow show checkout k3v5w2q7a4m6x2c3z5y7b2d4f6\n  mesh flow retry checkout k3v5w2q7a4m6x2c3z5y7b2d4f6",
		flowList(c), flowShow(c), flowCancel(c), flowRetry(c)))
}

// flowFlags say which mesh and which service.
type flowFlags struct {
	nats    natsFlags
	service string
}

func (o *flowFlags) add(cmd *cobra.Command) {
	o.nats.add(cmd.Flags())
	cmd.Flags().StringVar(&o.service, "service", "", "`service` that runs the flow, if its name leaves a choice")
}

// with connects and calls f with a client for the service that runs the named flow.
func (o *flowFlags) with(ctx context.Context, name string, f func(context.Context, *flow.Client) error) error {
	service, err := o.serviceOf(name)
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
	return f(ctx, flow.NewClient(conn, service))
}

// serviceOf finds the one service whose descriptor names the flow.
func (o *flowFlags) serviceOf(name string) (string, error) {
	if o.service != "" {
		return o.service, nil
	}
	var found, known []string
	for _, d := range descriptors(allServices()) {
		for _, f := range d.Flows {
			known = append(known, f.Name)
			if f.Name == name {
				found = append(found, d.Name)
			}
		}
	}
	switch len(found) {
	case 0:
		return "", usagef("there is no flow %q: choose from %s, or name its --service", name, strings.Join(known, ", "))
	case 1:
		return found[0], nil
	}
	return "", usagef("several services run a flow %q: choose with --service from %s", name, strings.Join(found, ", "))
}

// flowState is an instance as JSON shows it.
type flowState struct {
	Flow    string       `json:"flow"`
	ID      string       `json:"id"`
	Version int          `json:"version,omitzero"`
	Status  flow.Status  `json:"status"`
	Started time.Time    `json:"started_at"`
	Reason  string       `json:"reason,omitzero"`
	Error   string       `json:"error,omitzero"`
	Result  contract.Raw `json:"result,omitzero"`
	Steps   []flowStep   `json:"steps"`
}

type flowStep struct {
	Kind     string    `json:"kind"`
	Name     string    `json:"name"`
	Done     bool      `json:"done"`
	Attempts int       `json:"attempts,omitzero"`
	At       time.Time `json:"at,omitzero"`
	Error    string    `json:"error,omitzero"`
	Due      time.Time `json:"next_attempt_at,omitzero"`
}

func jsonFlow(s flow.State) flowState {
	out := flowState{
		Flow: s.Flow, ID: s.ID, Version: s.Version, Status: s.Status, Started: s.Started.UTC(),
		Reason: s.Reason, Error: errorText(s.Err), Result: s.Result, Steps: []flowStep{},
	}
	for _, step := range s.Steps {
		text := step.Last
		if step.Err != nil {
			text = step.Err.Error()
		}
		out.Steps = append(out.Steps, flowStep{
			Kind: step.Kind, Name: step.Name, Done: step.Done, Attempts: step.Attempts,
			At: step.At.UTC(), Error: text, Due: step.Due.UTC(),
		})
	}
	return out
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func flowShow(c *cli) *cobra.Command {
	var o flowFlags
	cmd := &cobra.Command{
		Use: "show <flow> <id>", Short: "Show one flow with every step that it has taken",
		Example: "  mesh flow show checkout k3v5w2q7a4m6x2c3z5y7b2d4f6", Args: exactly("a flow", "an id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.with(cmd.Context(), args[0], func(ctx context.Context, client *flow.Client) error {
				state, err := client.Get(ctx, args[0], args[1])
				if err != nil {
					return err
				}
				if c.json {
					return c.printJSON(jsonFlow(state))
				}
				return c.printFlow(jsonFlow(state))
			})
		},
	}
	o.add(cmd)
	return cmd
}

func (c *cli) printFlow(s flowState) error {
	fmt.Fprintf(c.out, "%s %s  %s  %s\n", s.Flow, s.ID, c.bold(string(s.Status)), c.dim("started "+s.Started.Local().Format(time.DateTime)))
	for _, text := range []string{s.Reason, s.Error} {
		if text != "" {
			fmt.Fprintf(c.out, "  %s\n", telemetry.Escape(text))
		}
	}
	table := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
	for _, step := range s.Steps {
		mark, when := "✔", step.At
		if !step.Done {
			mark, when = "…", step.Due
		}
		note := ""
		if step.Attempts > 1 || step.Error != "" {
			note = fmt.Sprintf("%d attempts  %s", step.Attempts, telemetry.Escape(step.Error))
		}
		fmt.Fprintf(table, "  %s\t%s\t%s\t%s\t%s\n", mark, step.Kind, step.Name, clock(when), note)
	}
	return table.Flush()
}

func clock(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Local().Format("15:04:05.000")
}

func flowCancel(c *cli) *cobra.Command {
	var reason string
	cmd := flowSteer(c, "cancel", "Ask a flow to stop; what it did is undone", "will stop at its next step",
		func(ctx context.Context, client *flow.Client, name, id string) error {
			return client.Cancel(ctx, name, id, reason)
		})
	cmd.Flags().StringVar(&reason, "reason", "cancelled by an operator", "`why`, for those who look at it later")
	return cmd
}

func flowRetry(c *cli) *cobra.Command {
	return flowSteer(c, "retry", "Let a stuck flow go on where it got stuck", "goes on",
		func(ctx context.Context, client *flow.Client, name, id string) error {
			return client.Retry(ctx, name, id)
		})
}

// flowSteer is a command that sends one instance an input.
func flowSteer(c *cli, verb, short, done string, act func(ctx context.Context, client *flow.Client, name, id string) error) *cobra.Command {
	var o flowFlags
	cmd := &cobra.Command{
		Use: verb + " <flow> <id>", Short: short, Args: exactly("a flow", "an id"),
		Example: "  mesh flow " + verb + " checkout k3v5w2q7a4m6x2c3z5y7b2d4f6",
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.with(cmd.Context(), args[0], func(ctx context.Context, client *flow.Client) error {
				if err := act(ctx, client, args[0], args[1]); err != nil {
					return err
				}
				if c.json {
					return c.printJSON(map[string]any{"flow": args[0], "id": args[1], "outcome": verb + " requested"})
				}
				_, err := fmt.Fprintf(c.out, "%s %s %s\n", args[0], args[1], done)
				return err
			})
		},
	}
	o.add(cmd)
	return cmd
}
