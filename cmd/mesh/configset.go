package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/ordermesh/ordermesh/bus/config"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/telemetry"
)

// reportLag is how long an instance may take to tell that it has taken a change.
const reportLag = 2 * time.Second

// changing are the flags of commands that change a setting.
type changing struct {
	nats natsFlags
	wait time.Duration
}

func (o *changing) add(f *pflag.FlagSet) {
	o.nats.add(f)
	f.DurationVar(&o.wait, "wait", reportLag, "wait this `long` for the running instances to take it; 0s for not at all")
}

// changed is the outcome as JSON shows it.
type changed struct {
	Key       string `json:"key"`
	Value     string `json:"value"`
	Deleted   bool   `json:"deleted,omitzero"`
	Revision  uint64 `json:"revision"`
	Instances int    `json:"instances"` // that run it
	Waiting   int    `json:"waiting"`   // that have not told so yet
}

// change reads the settings, writes and waits for the instances.
func (o *changing) change(ctx context.Context, c *cli, key string, write func(context.Context, *tuning, contract.Setting) (changed, error)) error {
	schema, setting, err := settingOf(key)
	if err != nil {
		return err
	}
	if o.wait < 0 {
		return usagef("--wait %s is before now: use a time such as 5s", o.wait)
	}
	return withTuning(ctx, &o.nats, []*config.Schema{schema}, func(ctx context.Context, t *tuning) error {
		done, err := write(ctx, t, setting)
		switch {
		case errors.Is(err, config.ErrMoved):
			return fmt.Errorf("%w: look at 'mesh config history %s' and try again", err, key)
		case err != nil:
			return err
		}
		return o.settle(ctx, c, t, done)
	})
}

// settle waits until every instance has looked at the revision, and says how it went.
func (o *changing) settle(ctx context.Context, c *cli, t *tuning, done changed) error {
	limit := time.Now().Add(o.wait)
	for {
		if err := t.read(ctx); err != nil {
			return err
		}
		done.Instances, done.Waiting = 0, 0
		for _, i := range t.instances {
			if r := slices.IndexFunc(i.Refused, func(r config.Refusal) bool { return r.Key == done.Key && r.Revision == done.Revision }); r >= 0 {
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
		pause(ctx, 20*time.Millisecond)
	}
	if err := c.printChanged(done); err != nil {
		return err
	}
	if done.Waiting > 0 && o.wait > 0 {
		return fmt.Errorf("%s did not take it within %s: see 'mesh config status'", instanceCount(done.Waiting), o.wait)
	}
	return nil
}

func (c *cli) printChanged(done changed) error {
	if c.json {
		return c.printJSON(done)
	}
	what := "= " + telemetry.Escape(done.Value)
	if done.Deleted {
		what = "is not set in the bucket any more"
	}
	_, err := fmt.Fprintf(c.out, "%s %s (revision %d, run by %d of %s)\n", done.Key, what, done.Revision, done.Instances, instanceCount(done.Instances+done.Waiting))
	return err
}

func configSet(c *cli) *cobra.Command {
	var o changing
	var revision int64
	cmd := &cobra.Command{
		Use: "set <service.setting> <value>", Short: "Change a setting in every running instance", Args: exactly("a setting", "a value"), ValidArgsFunction: completeSetting,
		Long: "Change a setting in every running instance, within milliseconds and without a restart. The value is checked\n" +
			"first, together with the service's other settings; somebody else's change is never overwritten unseen.\n" +
			"'nats kv put config <service.setting> <value>' does the same without the check: the instances refuse what they cannot use.",
		Example: "  mesh config set orders.hold_over 50000\n  mesh config set shipping.transit 2s --wait 5s\n  mesh config set orders.hold_over 0 --revision 12",
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.change(cmd.Context(), c, args[0], func(ctx context.Context, t *tuning, s contract.Setting) (changed, error) {
				if last := config.Last(t.entries, args[0]).Revision; cmd.Flags().Changed("revision") && uint64(max(revision, 0)) != last {
					return changed{}, fmt.Errorf("%s: %w: it is at revision %d", args[0], config.ErrMoved, last)
				}
				return t.set(ctx, s, args[1])
			})
		},
	}
	o.add(cmd.Flags())
	cmd.Flags().Int64Var(&revision, "revision", 0, "only if the setting is still at this `revision`; 0 if it was never set")
	return cmd
}

func (t *tuning) set(ctx context.Context, s contract.Setting, value string) (changed, error) {
	revision, err := t.store.Set(ctx, t.schema, t.base, t.entries, s.Name, value)
	return changed{Key: t.key(s), Value: value, Revision: revision}, err
}

func (t *tuning) unset(ctx context.Context, s contract.Setting) (changed, error) {
	if err := t.store.Unset(ctx, t.schema, t.base, t.entries, s.Name); err != nil {
		return changed{}, err
	}
	entries, err := t.store.Entries(ctx, t.schema.Service())
	return changed{Key: t.key(s), Deleted: true, Revision: config.Last(entries, t.key(s)).Revision}, err
}

func configUnset(c *cli) *cobra.Command {
	var o changing
	cmd := &cobra.Command{
		Use: "unset <service.setting>", Short: "Take a setting out of the bucket: what is below counts again", Args: exactly("a setting"), ValidArgsFunction: completeSetting,
		Example: "  mesh config unset orders.hold_over",
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.change(cmd.Context(), c, args[0], func(ctx context.Context, t *tuning, s contract.Setting) (changed, error) {
				return t.unset(ctx, s)
			})
		},
	}
	o.add(cmd.Flags())
	return cmd
}

func configRollback(c *cli) *cobra.Command {
	var o changing
	var to uint64
	cmd := &cobra.Command{
		Use: "rollback <service.setting>", Short: "Write the value before the current one again", Args: exactly("a setting"), ValidArgsFunction: completeSetting,
		Long: "Write an earlier value again: the one before the current one that can be used, or with --to the one that\n" +
			"held at a revision. Where there was none the setting is taken out of the bucket.",
		Example: "  mesh config rollback orders.hold_over\n  mesh config rollback orders.hold_over --to 12",
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.change(cmd.Context(), c, args[0], func(ctx context.Context, t *tuning, s contract.Setting) (changed, error) {
				target, err := t.before(t.key(s), to)
				switch {
				case err != nil:
					return changed{}, err
				case target.Revision == 0 || target.Deleted:
					return t.unset(ctx, s)
				}
				return t.set(ctx, s, target.Value)
			})
		},
	}
	o.add(cmd.Flags())
	cmd.Flags().Uint64Var(&to, "to", 0, "the value as it was at this `revision` of the bucket (default: the one before the current one)")
	return cmd
}

// before finds what to go back to; an entry without revision is "not set".
func (t *tuning) before(key string, to uint64) (config.Entry, error) {
	list, err := t.history(key)
	switch {
	case err != nil:
		return config.Entry{}, err
	case len(list) == 0:
		return config.Entry{}, fmt.Errorf("%s: %w to go back from", key, config.ErrNoEntry)
	}
	for _, w := range list {
		if to > 0 && w.Revision <= to {
			return w.Entry, nil
		}
		differs := w.Deleted != list[0].Deleted || w.Value != list[0].Value
		if to == 0 && differs && w.Refused == "" {
			return w.Entry, nil
		}
	}
	return config.Entry{Key: key}, nil
}
