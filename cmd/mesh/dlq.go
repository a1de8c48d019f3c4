package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/event"
	"github.com/ordermesh/ordermesh/bus/telemetry"
)

func dlqCommand(c *cli) *cobra.Command {
	return inGroup(groupLook, group("dlq", "Look at dead letters, hand them in again, throw them away",
		"  mesh dlq list\n  mesh dlq show 17\n  mesh dlq replay 17",
		dlqList(c), dlqShow(c),
		dlqAct(c, "replay", "Hand a dead letter to its consumer again; it is dropped once handled", "replayed", (*event.DeadLetters).Replay),
		dlqAct(c, "drop", "Throw a dead letter away for good", "dropped", (*event.DeadLetters).Drop)))
}

// deadLetter is a dead letter as JSON shows it.
type deadLetter struct {
	ID       uint64    `json:"id"`
	At       time.Time `json:"at"`
	Stream   string    `json:"stream"`
	Consumer string    `json:"consumer"`
	Subject  string    `json:"subject"`
	Sequence uint64    `json:"sequence"`
	EventID  string    `json:"event_id,omitzero"`
	Type     string    `json:"type,omitzero"`
	Cause    string    `json:"cause"`
	Reason   string    `json:"reason"`
	Failures int       `json:"failures"`
	Attempts int       `json:"attempts"`
	Trace    string    `json:"traceparent,omitzero"`
	Body     string    `json:"body,omitzero"`
}

func jsonLetter(l event.DeadLetter, body bool) deadLetter {
	d := deadLetter{
		ID: l.ID, At: l.At, Stream: l.Stream, Consumer: l.Consumer, Subject: l.Subject, Sequence: l.Sequence,
		EventID: l.EventID, Type: l.Type, Cause: l.Cause, Reason: l.Reason, Failures: l.Failures, Attempts: l.Attempts,
		Trace: l.Header.Get(contract.HeaderTrace),
	}
	if body {
		d.Body = printable(l.Body)
	}
	return d
}

// printable is a body that is text, or its bytes as escapes.
func printable(body []byte) string {
	if utf8.Valid(body) {
		return string(body)
	}
	return strconv.QuoteToASCII(string(body))
}

func dlqList(c *cli) *cobra.Command {
	var n natsFlags
	var f event.DeadFilter
	cmd := &cobra.Command{
		Use: "list", Short: "List dead letters, the oldest first", Args: exactly(),
		Example: "  mesh dlq list\n  mesh dlq list --stream ORDERS --consumer orders-checkout",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withLetters(cmd.Context(), &n, func(ctx context.Context, d *event.DeadLetters) error {
				letters, err := d.List(ctx, f)
				if err != nil {
					return err
				}
				return c.printLetters(letters)
			})
		},
	}
	flags := cmd.Flags()
	n.add(flags)
	flags.StringVar(&f.Stream, "stream", "", "only of this `stream`")
	flags.StringVar(&f.Consumer, "consumer", "", "only of this `consumer`")
	flags.Uint64Var(&f.After, "after", 0, "continue after this `id`")
	flags.IntVar(&f.Limit, "limit", 100, "at most this `number`")
	return cmd
}

func (c *cli) printLetters(letters []event.DeadLetter) error {
	if c.json {
		list := make([]deadLetter, len(letters))
		for i, l := range letters {
			list[i] = jsonLetter(l, false)
		}
		return c.printJSON(list)
	}
	if len(letters) == 0 {
		_, err := fmt.Fprintln(c.out, "no dead letters")
		return err
	}
	table := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ID\tGIVEN UP\tCONSUMER\tSUBJECT\tTYPE\tREASON")
	for _, l := range letters {
		fmt.Fprintf(table, "%d\t%s\t%s\t%s\t%s\t%s\n", l.ID, l.At.Local().Format(time.DateTime),
			telemetry.Escape(l.Consumer), telemetry.Escape(l.Subject), telemetry.Escape(l.Type), telemetry.Escape(l.Reason))
	}
	return table.Flush()
}

func dlqShow(c *cli) *cobra.Command {
	var n natsFlags
	cmd := &cobra.Command{
		Use: "show <id>", Short: "Show one dead letter with its body", Args: exactly("the id of a dead letter"),
		Example: "  mesh dlq show 17",
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := letterID(args[0])
			if err != nil {
				return err
			}
			return withLetters(cmd.Context(), &n, func(ctx context.Context, d *event.DeadLetters) error {
				letter, err := d.Show(ctx, id)
				if err != nil {
					return err
				}
				return c.printLetter(jsonLetter(letter, true))
			})
		},
	}
	n.add(cmd.Flags())
	return cmd
}

func (c *cli) printLetter(l deadLetter) error {
	if c.json {
		return c.printJSON(l)
	}
	table := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
	for _, row := range [][2]string{
		{"id", strconv.FormatUint(l.ID, 10)}, {"given up", l.At.Local().Format(time.DateTime)},
		{"consumer", l.Consumer}, {"stream", l.Stream}, {"subject", l.Subject}, {"sequence", strconv.FormatUint(l.Sequence, 10)},
		{"event", l.EventID}, {"type", l.Type}, {"cause", l.Cause}, {"reason", l.Reason},
		{"failures", strconv.Itoa(l.Failures)}, {"deliveries", strconv.Itoa(l.Attempts)}, {"trace", l.Trace}, {"body", l.Body},
	} {
		if row[1] != "" {
			fmt.Fprintf(table, "%s\t%s\n", row[0], telemetry.Escape(row[1]))
		}
	}
	return table.Flush()
}

// dlqAct is a command that does something with one dead letter.
func dlqAct(c *cli, verb, short, done string, act func(*event.DeadLetters, context.Context, uint64) error) *cobra.Command {
	var n natsFlags
	cmd := &cobra.Command{
		Use: verb + " <id>", Short: short, Args: exactly("the id of a dead letter"), Example: "  mesh dlq " + verb + " 17",
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := letterID(args[0])
			if err != nil {
				return err
			}
			return withLetters(cmd.Context(), &n, func(ctx context.Context, d *event.DeadLetters) error {
				if err := act(d, ctx, id); err != nil {
					return err
				}
				if c.json {
					return c.printJSON(map[string]any{"id": id, "outcome": done})
				}
				_, err := fmt.Fprintf(c.out, "dead letter %d is %s\n", id, done)
				return err
			})
		},
	}
	n.add(cmd.Flags())
	return cmd
}

func letterID(text string) (uint64, error) {
	id, err := strconv.ParseUint(text, 10, 64)
	if err != nil || id == 0 {
		return 0, usagef("%q is no id of a dead letter: 'mesh dlq list' shows them", text)
	}
	return id, nil
}

// withLetters connects and calls f.
func withLetters(ctx context.Context, n *natsFlags, f func(context.Context, *event.DeadLetters) error) error {
	conn, err := n.connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	err = f(ctx, event.NewDeadLetters(conn))
	if errors.Is(err, event.ErrNoDeadLetter) {
		return errors.New("there is no dead letter with this id: 'mesh dlq list' shows them")
	}
	return err
}
