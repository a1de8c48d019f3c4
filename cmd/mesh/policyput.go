package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/config"
	"github.com/ordermesh/ordermesh/bus/telemetry"
)

// amending are the flags of commands that change a policy.
type amending struct{ changing }

// amend reads a policy's history, writes and waits for the instances.
func (o *amending) amend(
	ctx context.Context, c *cli, p paper, write func(ctx context.Context, d *config.Documents, entries []config.Entry) (changed, error),
) error {
	if o.wait < 0 {
		return usagef("--wait %s is before now: use a time such as 5s", o.wait)
	}
	return withDocuments(ctx, &o.nats, func(ctx context.Context, _ *bus.Conn, d *config.Documents) error {
		entries, err := d.Entries(ctx, p.key())
		if err != nil {
			return err
		}
		done, err := write(ctx, d, entries)
		switch {
		case errors.Is(err, config.ErrMoved):
			return fmt.Errorf("%w: look at 'mesh policy history %s' and try again", err, p.key())
		case err != nil:
			return err
		}
		return o.settle(ctx, c, p, d, done)
	})
}

// settle waits until every instance has looked at the revision, and says how it went.
func (o *amending) settle(ctx context.Context, c *cli, p paper, d *config.Documents, done changed) error {
	for limit := time.Now().Add(o.wait); ; pause(ctx, 20*time.Millisecond) {
		running, err := d.Instances(ctx, p.service, p.Name)
		if err != nil {
			return err
		}
		done.Instances, done.Waiting = 0, 0
		for _, i := range running {
			if r := slices.IndexFunc(i.Refused, func(r config.Refusal) bool { return r.Revision == done.Revision }); r >= 0 {
				return fmt.Errorf("%s is written as revision %d, and instance %s refuses it: %s", done.Key, done.Revision, i.Instance, telemetry.Escape(i.Refused[r].Reason))
			}
			if i.Revision >= done.Revision {
				done.Instances++
			} else {
				done.Waiting++
			}
		}
		if done.Waiting == 0 || !time.Now().Before(limit) {
			break
		}
	}
	if err := c.printAmended(done); err != nil {
		return err
	}
	if done.Waiting > 0 && o.wait > 0 {
		return fmt.Errorf("%s did not take it within %s: see 'mesh policy status'", instanceCount(done.Waiting), o.wait)
	}
	return nil
}

func (c *cli) printAmended(done changed) error {
	if c.json {
		return c.printJSON(done)
	}
	what := "is changed"
	if done.Deleted {
		what = "is not in the bucket any more"
	}
	_, err := fmt.Fprintf(c.out, "%s %s (revision %d, run by %d of %s)\n", done.Key, what, done.Revision, done.Instances, instanceCount(done.Instances+done.Waiting))
	return err
}

// put writes a document that can be used.
func (p paper) put(ctx context.Context, d *config.Documents, entries []config.Entry, value string) (changed, error) {
	if err := p.check([]byte(value)); err != nil {
		return changed{}, unusable(p.key(), err)
	}
	revision, err := d.Put(ctx, config.Last(entries, p.key()), value)
	return changed{Key: p.key(), Value: value, Revision: revision}, err
}

// unset deletes the document.
func (p paper) unset(ctx context.Context, d *config.Documents, entries []config.Entry) (changed, error) {
	if err := d.Delete(ctx, config.Last(entries, p.key())); err != nil {
		return changed{}, err
	}
	now, err := d.Entries(ctx, p.key())
	return changed{Key: p.key(), Deleted: true, Revision: config.Last(now, p.key()).Revision}, err
}

func policyPut(c *cli) *cobra.Command {
	var o amending
	var revision int64
	cmd := &cobra.Command{
		Use: "put <policy> <file>", Short: "Change a policy in every running instance", Args: exactly("a policy", "a file"), ValidArgsFunction: completePolicy,
		Long: "Change a policy in every running instance, within milliseconds and without a restart, after checking the\n" +
			"document; somebody else's change is never overwritten unseen. Orders that were placed before keep what was\n" +
			"decided about them. The file - is standard input. 'nats kv put policy <policy> <document>' does the same\n" +
			"without the check: the instances refuse what they cannot use.",
		Example: "  mesh policy put orders.acceptance rules.json\n  mesh policy put orders.acceptance rules.json --revision 12",
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := paperOf(args[0])
			if err != nil {
				return err
			}
			data, err := readDocument(cmd.InOrStdin(), args[1])
			if err != nil {
				return err
			}
			return o.amend(cmd.Context(), c, p, func(ctx context.Context, d *config.Documents, entries []config.Entry) (changed, error) {
				if last := config.Last(entries, p.key()).Revision; cmd.Flags().Changed("revision") && uint64(max(revision, 0)) != last {
					return changed{}, fmt.Errorf("%s: %w: it is at revision %d", p.key(), config.ErrMoved, last)
				}
				return p.put(ctx, d, entries, string(data))
			})
		},
	}
	o.add(cmd.Flags())
	cmd.Flags().Int64Var(&revision, "revision", 0, "only if the policy is still at this `revision`; 0 if it was never set")
	return cmd
}

func policyUnset(c *cli) *cobra.Command {
	var o amending
	cmd := &cobra.Command{
		Use: "unset <policy>", Short: "Take a policy out of the bucket: every order is accepted, calls go as they are built in", Args: exactly("a policy"),
		ValidArgsFunction: completePolicy,
		Example:           "  mesh policy unset orders.acceptance",
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := paperOf(args[0])
			if err != nil {
				return err
			}
			return o.amend(cmd.Context(), c, p, p.unset)
		},
	}
	o.add(cmd.Flags())
	return cmd
}

func policyRollback(c *cli) *cobra.Command {
	var o amending
	var to uint64
	cmd := &cobra.Command{
		Use: "rollback <policy>", Short: "Write the document before the current one again", Args: exactly("a policy"), ValidArgsFunction: completePolicy,
		Long: "Write an earlier document again: the one before the current one that can be used, or with --to the one that\n" +
			"held at a revision. Where there was none the policy is taken out of the bucket.",
		Example: "  mesh policy rollback orders.acceptance\n  mesh policy rollback orders.acceptance --to 12",
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := paperOf(args[0])
			if err != nil {
				return err
			}
			return o.amend(cmd.Context(), c, p, func(ctx context.Context, d *config.Documents, entries []config.Entry) (changed, error) {
				target, err := p.before(entries, to)
				switch {
				case err != nil:
					return changed{}, err
				case target.Revision == 0 || target.Deleted:
					return p.unset(ctx, d, entries)
				}
				return p.put(ctx, d, entries, target.Value)
			})
		},
	}
	o.add(cmd.Flags())
	cmd.Flags().Uint64Var(&to, "to", 0, "the document as it was at this `revision` of the bucket (default: the one before the current one)")
	return cmd
}

// before finds what to go back to; an entry without revision is "not set".
func (p paper) before(entries []config.Entry, to uint64) (config.Entry, error) {
	if len(entries) == 0 {
		return config.Entry{}, fmt.Errorf("%s: %w to go back from", p.key(), config.ErrNoEntry)
	}
	if to > 0 {
		return at(entries, p.key(), to), nil
	}
	last := entries[len(entries)-1]
	for _, e := range slices.Backward(entries) {
		differs := e.Deleted != last.Deleted || e.Value != last.Value
		if differs && (e.Deleted || p.check([]byte(e.Value)) == nil) {
			return e, nil
		}
	}
	return config.Entry{Key: p.key()}, nil
}

// policyHistory lists entries.
func policyHistory(c *cli) *cobra.Command {
	var n natsFlags
	cmd := &cobra.Command{
		Use: "history <policy>", Short: "List what was written to the bucket, the newest first", Args: exactly("a policy"), ValidArgsFunction: completePolicy,
		Long:    "List what was written to the bucket, the newest first, and what of it cannot be used. The last 64 documents are kept.",
		Example: "  mesh policy history orders.acceptance",
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := paperOf(args[0])
			if err != nil {
				return err
			}
			return withDocuments(cmd.Context(), &n, func(ctx context.Context, _ *bus.Conn, d *config.Documents) error {
				entries, err := d.Entries(ctx, p.key())
				if err != nil {
					return err
				}
				return c.printPapers(p, entries)
			})
		},
	}
	n.add(cmd.Flags())
	return cmd
}

func (c *cli) printPapers(p paper, entries []config.Entry) error {
	list := []written{}
	for _, e := range slices.Backward(entries) {
		w := written{Entry: e}
		if !e.Deleted {
			if err := p.check([]byte(e.Value)); err != nil {
				w.Refused = problems(err)[0].String()
			}
		}
		list = append(list, w)
	}
	if c.json {
		return c.printJSON(list)
	}
	if len(list) == 0 {
		_, err := fmt.Fprintf(c.out, "%s was never set in the bucket\n", p.key())
		return err
	}
	var g grid
	g.header("REVISION", "WHEN", "DOCUMENT", "")
	for _, w := range list {
		value, note := cell{text: short(onOneLine(w.Value))}, cell{}
		if w.Deleted {
			value = cell{"deleted", dimmed}
		}
		if w.Refused != "" {
			note = cell{"refused: " + telemetry.Escape(w.Refused), red}
		}
		g.add(cell{text: fmt.Sprint(w.Revision)}, cell{text: w.At.Local().Format(time.DateTime)}, value, note)
	}
	return c.printGrid(&g)
}
