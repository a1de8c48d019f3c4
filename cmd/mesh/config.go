package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"github.com/ordermesh/ordermesh/bus/config"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/telemetry"
)

func configCommand(c *cli) *cobra.Command {
	return inGroup(groupLook, group("config", "Look at settings and change them while the mesh runs",
		"  mesh config ls\n  mesh config set orders.hold_over 50000\n  mesh config explain orders\n  mesh config status",
		configLs(c), configGet(c), configExplain(c), configStatus(c),
		configSet(c), configUnset(c), configDiff(c), configHistory(c), configRollback(c)))
}

// tuning is what is known of the settings of one service.
type tuning struct {
	store     *config.Store
	schema    *config.Schema
	entries   []config.Entry
	instances []config.Instance
	base      config.Values // below the bucket, as the newest instance has it
}

func (t *tuning) key(setting contract.Setting) string { return t.schema.Service() + "." + setting.Name }

// expected is what an instance runs, or would run.
func (t *tuning) expected() (config.Instance, error) {
	return config.Expect(t.schema, t.base, t.entries)
}

// last is the bucket's revision as far as the service is concerned.
func (t *tuning) last() uint64 {
	if len(t.entries) == 0 {
		return 0
	}
	return t.entries[len(t.entries)-1].Revision
}

// read looks at the buckets anew.
func (t *tuning) read(ctx context.Context) (err error) {
	if t.entries, err = t.store.Entries(ctx, t.schema.Service()); err != nil {
		return err
	}
	if t.instances, err = t.store.Instances(ctx, t.schema.Service()); err != nil {
		return err
	}
	if n := len(t.instances); n > 0 {
		t.base = t.schema.BaseOf(t.instances[n-1])
		if _, err := config.Expect(t.schema, t.base, nil); err != nil {
			t.base = nil // without the bucket's values the rest does not fit together
		}
	}
	return nil
}

// withTuning reads the settings of services and calls f for each.
func withTuning(ctx context.Context, n *natsFlags, list []*config.Schema, f func(context.Context, *tuning) error) error {
	conn, err := n.connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	store, err := config.OpenStore(ctx, conn)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		return errors.New("the mesh has no settings yet: start a service, or create the buckets with 'mesh topology apply'")
	}
	if err != nil {
		return err
	}
	for _, schema := range list {
		t := &tuning{store: store, schema: schema}
		if err := t.read(ctx); err != nil {
			return err
		}
		if err := f(ctx, t); err != nil {
			return err
		}
	}
	return nil
}

// oneOrAll are the settings of the named service, or of every one.
func oneOrAll(args []string) ([]*config.Schema, error) {
	if len(args) == 0 {
		return schemas(), nil
	}
	schema, err := schemaOf(args[0])
	return []*config.Schema{schema}, err
}

func joinedNames(list []*config.Schema) string {
	names := make([]string, len(list))
	for i, s := range list {
		names[i] = s.Service()
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// settingOf finds a setting by its key.
func settingOf(key string) (*config.Schema, contract.Setting, error) {
	service, name, ok := strings.Cut(key, ".")
	if !ok {
		return nil, contract.Setting{}, usagef("%q is no setting: use <service>.<setting>, such as orders.hold_over; 'mesh config ls' lists them", key)
	}
	schema, err := schemaOf(service)
	if err != nil {
		return nil, contract.Setting{}, err
	}
	setting, ok := schema.Setting(name)
	if !ok {
		return nil, setting, usagef("%s has no setting %q: 'mesh config ls %s' lists them", service, name, service)
	}
	return schema, setting, nil
}

// completeService offers services that have settings.
func completeService(_ *cobra.Command, args []string, _ string) (names []string, _ cobra.ShellCompDirective) {
	if len(args) == 0 {
		for _, s := range schemas() {
			names = append(names, s.Service())
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// completeSetting offers settings with what they mean.
func completeSetting(_ *cobra.Command, args []string, _ string) (keys []string, _ cobra.ShellCompDirective) {
	for _, schema := range schemas() {
		for _, s := range schema.Settings() {
			if len(args) == 0 {
				keys = append(keys, schema.Service()+"."+s.Name+"\t"+s.Doc)
			}
		}
	}
	return keys, cobra.ShellCompDirectiveNoFileComp
}

// settingLine is a setting as JSON shows it.
type settingLine struct {
	Key     string       `json:"key"`
	Value   string       `json:"value"`
	From    config.Layer `json:"from"`
	Where   string       `json:"where,omitzero"`
	Default string       `json:"default"`
	Type    string       `json:"type"`
	Doc     string       `json:"doc"`
	Range   string       `json:"range,omitzero"`
	Live    bool         `json:"live"`
}

func lineOf(service string, s contract.Setting, r config.Running) settingLine {
	l := settingLine{
		Key: service + "." + s.Name, Value: r.Value, From: r.From, Where: r.Where,
		Default: s.Default, Type: string(s.Type), Doc: s.Doc, Live: !s.AtStart && s.Type != contract.SettingSecret,
	}
	switch {
	case s.OneOf != "":
		l.Range = s.OneOf
	case s.Min != "" || s.Max != "":
		l.Range = s.Min + ".." + s.Max
	}
	return l
}

// lines are the settings as they are now, in the order of their declaration.
func (t *tuning) lines() ([]settingLine, error) {
	now, err := t.expected()
	if err != nil {
		return nil, err
	}
	var list []settingLine
	for i, s := range t.schema.Settings() {
		list = append(list, lineOf(t.schema.Service(), s, now.Settings[i]))
	}
	return list, nil
}

func configLs(c *cli) *cobra.Command {
	var n natsFlags
	cmd := &cobra.Command{
		Use: "ls [service]", Short: "List settings with their values", Args: cobra.MaximumNArgs(1), ValidArgsFunction: completeService,
		Example: "  mesh config ls\n  mesh config ls orders",
		RunE: func(cmd *cobra.Command, args []string) error {
			list, err := oneOrAll(args)
			if err != nil {
				return err
			}
			all := []settingLine{}
			if err := withTuning(cmd.Context(), &n, list, func(_ context.Context, t *tuning) error {
				lines, err := t.lines()
				all = append(all, lines...)
				return err
			}); err != nil {
				return err
			}
			if c.json {
				return c.printJSON(all)
			}
			var g grid
			g.header("SETTING", "VALUE", "FROM")
			for _, l := range all {
				g.add(cell{text: l.Key}, cell{text: short(l.Value)}, fromCell(l.From, l.Where))
			}
			return c.printGrid(&g)
		},
	}
	n.add(cmd.Flags())
	return cmd
}

// short is a value that fits into a table.
func short(value string) string {
	const most = 60
	text := telemetry.Escape(value)
	if r := []rune(text); len(r) > most {
		text = string(r[:most]) + "…"
	}
	return text
}

// fromCell says where a value is from; the default is the least interesting.
func fromCell(from config.Layer, where string) cell {
	text := string(from)
	if where != "" {
		text += ", " + telemetry.Escape(where)
	}
	if from == config.Default {
		return cell{text, dimmed}
	}
	return cell{text, cyan}
}

func (c *cli) printGrid(g *grid) error {
	for _, line := range g.lines(c, "") {
		if _, err := fmt.Fprintln(c.out, line); err != nil {
			return err
		}
	}
	return nil
}

func configGet(c *cli) *cobra.Command {
	var n natsFlags
	cmd := &cobra.Command{
		Use: "get <service.setting>", Short: "Print the value of a setting", Args: exactly("a setting"), ValidArgsFunction: completeSetting,
		Example: "  mesh config get orders.hold_over\n  mesh config get shipping.transit --json",
		RunE: func(cmd *cobra.Command, args []string) error {
			schema, setting, err := settingOf(args[0])
			if err != nil {
				return err
			}
			return withTuning(cmd.Context(), &n, []*config.Schema{schema}, func(_ context.Context, t *tuning) error {
				lines, err := t.lines()
				if err != nil {
					return err
				}
				i := slices.IndexFunc(lines, func(l settingLine) bool { return l.Key == t.key(setting) })
				if c.json {
					return c.printJSON(lines[i])
				}
				_, err = fmt.Fprintln(c.out, telemetry.Escape(lines[i].Value))
				return err
			})
		},
	}
	n.add(cmd.Flags())
	return cmd
}

func configHistory(c *cli) *cobra.Command {
	var n natsFlags
	cmd := &cobra.Command{
		Use: "history <service.setting>", Short: "List what was written to the bucket, the newest first", Args: exactly("a setting"), ValidArgsFunction: completeSetting,
		Long:    "List what was written to the bucket, the newest first, and what of it could not be used. The last 64 values are kept.",
		Example: "  mesh config history orders.hold_over",
		RunE: func(cmd *cobra.Command, args []string) error {
			schema, setting, err := settingOf(args[0])
			if err != nil {
				return err
			}
			return withTuning(cmd.Context(), &n, []*config.Schema{schema}, func(_ context.Context, t *tuning) error {
				return c.printHistory(t, setting)
			})
		},
	}
	n.add(cmd.Flags())
	return cmd
}

// written is an entry and why it was refused when it came, "" if it was not.
type written struct {
	config.Entry
	Refused string `json:"refused,omitzero"`
}

func (t *tuning) history(key string) ([]written, error) {
	list := []written{}
	for i, e := range t.entries {
		if e.Key != key {
			continue
		}
		then, err := config.Expect(t.schema, t.base, t.entries[:i+1])
		if err != nil {
			return nil, err
		}
		w := written{Entry: e}
		for _, r := range then.Refused {
			if r.Key == key {
				w.Refused = r.Reason
			}
		}
		list = append(list, w)
	}
	slices.Reverse(list)
	return list, nil
}

func (c *cli) printHistory(t *tuning, setting contract.Setting) error {
	list, err := t.history(t.key(setting))
	if err != nil {
		return err
	}
	for i := range list {
		if setting.Type == contract.SettingSecret && !list[i].Deleted {
			list[i].Value = contract.Secret{}.String()
		}
	}
	if c.json {
		return c.printJSON(list)
	}
	if len(list) == 0 {
		_, err := fmt.Fprintf(c.out, "%s was never set in the bucket\n", t.key(setting))
		return err
	}
	var g grid
	g.header("REVISION", "WHEN", "VALUE", "")
	for _, w := range list {
		value, note := cell{text: short(w.Value)}, cell{}
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
