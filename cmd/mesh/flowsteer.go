package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/rpc"
	"github.com/ordermesh/ordermesh/contracts/flows"
	"github.com/ordermesh/ordermesh/contracts/idem"
)

func flowStart(c *cli) *cobra.Command {
	var input string
	cmd := flowSteer(c, steering{
		verb: "start", short: "Start a flow; an id that was started before is found again", done: "is started",
		example: "  mesh flow start " + exampleFlow + " --input @order.json",
		act: func(ref flows.Ref, _ []string) (steer, error) {
			raw, err := readJSON("--input", input)
			return asking(flows.Start, flows.StartFlow{Service: ref.Service, Flow: ref.Flow, ID: ref.ID, Input: raw}), err
		},
	})
	cmd.Flags().StringVar(&input, "input", "{}", "the flow's input: `JSON`, @file, or - for standard input")
	return cmd
}

func flowSignal(c *cli) *cobra.Command {
	var data, id string
	cmd := flowSteer(c, steering{
		verb: "signal", third: "signal", short: "Hand a flow what it waits for, or will wait for", done: "has the signal",
		example: "  mesh flow signal " + exampleFlow + " approved --data '{\"by\":\"ada\"}'\n  mesh flow signal " + exampleFlow + " approved --id decision-7",
		act: func(ref flows.Ref, args []string) (steer, error) {
			raw, err := readJSON("--data", data)
			return asking(flows.Signal, flows.SignalFlow{
				Service: ref.Service, Flow: ref.Flow, ID: ref.ID, Signal: args[2], SignalID: cmp.Or(id, idem.Fresh()), Data: raw,
			}), err
		},
	})
	cmd.Flags().StringVar(&data, "data", "{}", "what the signal says: `JSON`, @file, or - for standard input")
	cmd.Flags().StringVar(&id, "id", "", "the signal's own `id`: the same id is taken once (default a fresh one)")
	return cmd
}

func flowCancel(c *cli) *cobra.Command {
	var reason string
	cmd := flowSteer(c, steering{
		verb: "cancel", short: "Ask a flow to stop; what it did is undone", done: "will stop at its next step",
		act: func(ref flows.Ref, _ []string) (steer, error) {
			return asking(flows.Cancel, flows.CancelFlow{Service: ref.Service, Flow: ref.Flow, ID: ref.ID, Reason: reason}), nil
		},
	})
	cmd.Flags().StringVar(&reason, "reason", "cancelled by an operator", "`why`, for those who look at it later")
	return cmd
}

func flowRetry(c *cli) *cobra.Command {
	return flowSteer(c, steering{
		verb: "retry", short: "Let a stuck flow go on where it got stuck", done: "goes on",
		act: func(ref flows.Ref, _ []string) (steer, error) { return asking(flows.Retry, ref), nil },
	})
}

// steering is a command that asks something of one instance.
type steering struct {
	verb, short, done, example string
	third                      string // what stands behind the flow and its id, if anything

	// act makes the request out of flags and arguments; it connects to nothing.
	act func(ref flows.Ref, args []string) (steer, error)
}

// steer is a request that is ready to be sent.
type steer func(ctx context.Context, client *rpc.Client) (flows.Instance, error)

func asking[Req any](m contract.Method[Req, flows.Instance], req Req) steer {
	return func(ctx context.Context, client *rpc.Client) (flows.Instance, error) { return ask(ctx, client, m, req) }
}

func flowSteer(c *cli, s steering) *cobra.Command {
	var o flowFlags
	use, names := s.verb+" <flow> <id>", []string{"a flow", "an id"}
	if s.third != "" {
		use, names = use+" <"+s.third+">", append(names, "a "+s.third)
	}
	cmd := &cobra.Command{
		Use: use, Short: s.short, Args: exactly(names...), Example: s.example,
		RunE: func(cmd *cobra.Command, args []string) error {
			ref, err := o.ref(args)
			if err != nil {
				return err
			}
			send, err := s.act(ref, args)
			if err != nil {
				return err
			}
			return o.with(cmd.Context(), func(ctx context.Context, client *rpc.Client) error {
				now, err := send(ctx, client)
				if err != nil {
					return err
				}
				if c.json {
					return c.printJSON(now)
				}
				_, err = fmt.Fprintf(c.out, "%s %s %s\n", ref.Flow, ref.ID, s.done)
				return err
			})
		},
	}
	if cmd.Example == "" {
		cmd.Example = "  mesh flow " + s.verb + " " + exampleFlow
	}
	o.add(cmd)
	return cmd
}

// readJSON is the value of a flag: JSON, or @ and a file, or - for standard input.
func readJSON(flag, value string) (contract.Raw, error) {
	text := []byte(value)
	var err error
	switch {
	case value == "-":
		text, err = io.ReadAll(io.LimitReader(os.Stdin, 2*contract.MaxRequestBytes))
	case strings.HasPrefix(value, "@"):
		text, err = os.ReadFile(value[1:])
	}
	if err != nil {
		return nil, usagef("%s: %w", flag, err)
	}
	if raw := contract.Raw(text); raw.IsValid() {
		return raw, nil
	}
	return nil, usagef("%s is not JSON: give it in one pair of quotes, as @file, or as - for standard input", flag)
}
