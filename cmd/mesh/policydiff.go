package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/config"
	"github.com/ordermesh/ordermesh/bus/telemetry"
)

// changedLine is a line that only one of two documents has.
type changedLine struct {
	New  bool   `json:"new"` // of the second document, not the first
	Text string `json:"text"`
}

func policyDiff(c *cli) *cobra.Command {
	var n natsFlags
	var since uint64
	cmd := &cobra.Command{
		Use: "diff <policy> [file]", Short: "Show what a file, or what is in force, changes", Args: oneOrTwo("a policy", "a file"), ValidArgsFunction: completePolicy,
		Long: "Compare a file with the document that is in force; or, without a file, the document that is in force with the one\n" +
			"before it, or with the one of a revision.",
		Example: "  mesh policy diff orders.acceptance rules.json\n  mesh policy diff orders.acceptance --since 12",
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := paperOf(args[0])
			if err != nil {
				return err
			}
			var file []byte
			if len(args) == 2 {
				if file, err = readDocument(cmd.InOrStdin(), args[1]); err != nil {
					return err
				}
			}
			return withDocuments(cmd.Context(), &n, func(ctx context.Context, _ *bus.Conn, d *config.Documents) error {
				entries, err := d.Entries(ctx, p.key())
				if err != nil {
					return err
				}
				now := p.inForce(entries)
				old, next := now.Value, string(file)
				if len(args) == 1 {
					old, next = p.earlier(entries, now, since).Value, now.Value
				} else if since > 0 {
					old = at(entries, p.key(), since).Value
				}
				return c.printLines(difference(laidOut(old), laidOut(next)))
			})
		},
	}
	n.add(cmd.Flags())
	cmd.Flags().Uint64Var(&since, "since", 0, "compare with the document at this `revision` of the bucket")
	return cmd
}

// earlier is the document of a revision, or without one the one that was in force before.
func (p paper) earlier(entries []config.Entry, now config.Entry, since uint64) config.Entry {
	if since > 0 {
		return at(entries, p.key(), since)
	}
	var before []config.Entry
	for _, e := range entries {
		if e.Revision < now.Revision {
			before = append(before, e)
		}
	}
	return p.inForce(before)
}

// oneOrTwo demands one argument and allows a second.
func oneOrTwo(first, second string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 1 {
			return nil
		}
		return exactly(first, second)(cmd, args)
	}
}

// laidOut are the lines of a document: JSON with a line for each member.
func laidOut(text string) []string {
	value := jsontext.Value(text)
	if value.Indent(jsontext.WithIndent("  ")) == nil {
		text = string(value)
	}
	if text == "" {
		return nil
	}
	return strings.Split(strings.TrimRight(text, "\n"), "\n")
}

// onOneLine is a document without the white space of its JSON.
func onOneLine(text string) string {
	if value := jsontext.Value(text); value.Compact() == nil {
		return string(value)
	}
	return text
}

// difference are the lines that only one of two documents has, in their order.
func difference(old, next []string) []changedLine {
	common := make([][]int, len(old)+1) // length of what the rests have in common
	for i := range common {
		common[i] = make([]int, len(next)+1)
	}
	for i, line := range slices.Backward(old) {
		for j, other := range slices.Backward(next) {
			if common[i][j] = max(common[i+1][j], common[i][j+1]); line == other {
				common[i][j] = common[i+1][j+1] + 1
			}
		}
	}
	list := []changedLine{}
	for i, j := 0, 0; i < len(old) || j < len(next); {
		switch {
		case i < len(old) && j < len(next) && old[i] == next[j]:
			i, j = i+1, j+1
		case j == len(next) || (i < len(old) && common[i+1][j] >= common[i][j+1]):
			list = append(list, changedLine{Text: old[i]})
			i++
		default:
			list = append(list, changedLine{New: true, Text: next[j]})
			j++
		}
	}
	return list
}

func (c *cli) printLines(list []changedLine) error {
	if c.json {
		return c.printJSON(list)
	}
	if len(list) == 0 {
		_, err := fmt.Fprintln(c.out, "nothing differs")
		return err
	}
	for _, l := range list {
		sign, colour := "- ", red
		if l.New {
			sign, colour = "+ ", green
		}
		if _, err := fmt.Fprintln(c.out, c.paint(colour, sign+telemetry.Escape(l.Text))); err != nil {
			return err
		}
	}
	return nil
}
