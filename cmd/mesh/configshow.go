package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ordermesh/ordermesh/bus/config"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/telemetry"
)

// explained is a setting with everything that is known of it.
type explained struct {
	settingLine
	Variable string   `json:"variable"`
	Runs     []runsIt `json:"runs"` // values of running instances; one when all agree
}

// runsIt is a value and how many instances run it.
type runsIt struct {
	config.Running
	Instances int `json:"instances"`
}

func configExplain(c *cli) *cobra.Command {
	var n natsFlags
	cmd := &cobra.Command{
		Use: "explain <service>", Short: "Show every setting with its value, its meaning and where it comes from", Args: exactly("a service"), ValidArgsFunction: completeService,
		Long: "Show every setting of a service: the value that its running instances use, from which layer it comes\n" +
			"(default < file < environment < flag < bucket), what it means and what it may be.",
		Example: "  mesh config explain orders",
		RunE: func(cmd *cobra.Command, args []string) error {
			schema, err := schemaOf(args[0])
			if err != nil {
				return err
			}
			return withTuning(cmd.Context(), &n, []*config.Schema{schema}, func(_ context.Context, t *tuning) error {
				list, err := t.explain()
				if err != nil {
					return err
				}
				return c.printExplained(t, list)
			})
		},
	}
	n.add(cmd.Flags())
	return cmd
}

func (t *tuning) explain() ([]explained, error) {
	lines, err := t.lines()
	if err != nil {
		return nil, err
	}
	list := make([]explained, len(lines))
	for i, l := range lines {
		name := t.schema.Settings()[i].Name
		list[i] = explained{settingLine: l, Variable: config.Variable(t.schema.Service(), name), Runs: t.running(name)}
		if len(list[i].Runs) > 0 { // what runs counts more than what is expected
			r := list[i].Runs[0]
			list[i].Value, list[i].From, list[i].Where = r.Value, r.From, r.Where
		}
	}
	return list, nil
}

// running counts the values of a setting, the most frequent first.
func (t *tuning) running(name string) []runsIt {
	counts := map[config.Running]int{}
	for _, i := range t.instances {
		for _, r := range i.Settings {
			if r.Name == name {
				counts[r]++
			}
		}
	}
	list := make([]runsIt, 0, len(counts))
	for r, n := range counts {
		list = append(list, runsIt{r, n})
	}
	slices.SortFunc(list, func(a, b runsIt) int {
		return cmp.Or(b.Instances-a.Instances, strings.Compare(a.Value, b.Value), strings.Compare(string(a.From), string(b.From)))
	})
	return list
}

func (c *cli) printExplained(t *tuning, list []explained) error {
	if c.json {
		return c.printJSON(list)
	}
	title := fmt.Sprintf("%s, %s, revision %d", t.schema.Service(), instanceCount(len(t.instances)), t.last())
	if len(t.instances) == 0 {
		title += ": no instance runs, so this is what one without a file, variables and flags would use"
	}
	if _, err := fmt.Fprintln(c.out, title); err != nil {
		return err
	}
	for _, e := range list {
		var g grid
		g.add(cell{c.value(e.Value), strong}, fromCell(e.From, e.Where))
		for _, other := range e.Runs[min(1, len(e.Runs)):] {
			g.add(cell{c.value(other.Value), yellow}, fromCell(other.From, fmt.Sprintf("%s, in %d of %s", other.Where, other.Instances, instanceCount(len(t.instances)))))
		}
		if _, err := fmt.Fprintf(c.out, "\n%s\n%s\n  %s\n  %s\n", c.bold(e.Key), strings.Join(g.lines(c, "  "), "\n"), e.Doc, c.dim(e.form())); err != nil {
			return err
		}
	}
	return nil
}

func instanceCount(n int) string {
	if n == 1 {
		return "1 instance"
	}
	return fmt.Sprintf("%d instances", n)
}

func (c *cli) value(text string) string {
	if text == "" {
		return "(none)"
	}
	return telemetry.Escape(text)
}

// form says how the setting is written and where.
func (e explained) form() string {
	form := e.Type
	if e.Range != "" {
		form += " " + e.Range
	}
	if e.Default != "" {
		form += ", default " + e.Default
	}
	switch {
	case e.Type == string(contract.SettingSecret):
		return form + "; from " + e.Variable + "_FILE, " + e.Variable + " or a file named in the YAML file"
	case !e.Live:
		return form + "; read at start; " + e.Variable
	}
	return form + "; live; " + e.Variable
}

// standing is the state of the settings of one service as JSON shows it.
type standing struct {
	Service   string            `json:"service"`
	Revision  uint64            `json:"revision"`
	Instances []config.Instance `json:"instances"`
	Behind    []string          `json:"behind"`  // instances at an older revision
	Refused   []config.Refusal  `json:"refused"` // values in the bucket that cannot be used now
	Past      []config.Refusal  `json:"past"`    // refused during the last week and in order by now
}

func (s *standing) good() bool { return len(s.Behind) == 0 && len(s.Refused) == 0 }

func configStatus(c *cli) *cobra.Command {
	var n natsFlags
	cmd := &cobra.Command{
		Use: "status [service]", Short: "Show which revision each instance runs and which values are refused", Args: cobra.MaximumNArgs(1), ValidArgsFunction: completeService,
		Long: "Show which revision of the bucket each instance runs and which values cannot be used. Something that is\n" +
			"refused, or an instance that does not follow, makes the exit code 1.",
		Example: "  mesh config status\n  mesh config status orders --json",
		RunE: func(cmd *cobra.Command, args []string) error {
			list, err := oneOrAll(args)
			if err != nil {
				return err
			}
			all := []*standing{}
			if err := withTuning(cmd.Context(), &n, list, func(ctx context.Context, t *tuning) error {
				s, err := t.standing(ctx)
				all = append(all, s)
				return err
			}); err != nil {
				return err
			}
			return c.printStanding(all)
		},
	}
	n.add(cmd.Flags())
	return cmd
}

// standing gives instances that are behind a moment to tell that they are not.
func (t *tuning) standing(ctx context.Context) (*standing, error) {
	s := &standing{Service: t.schema.Service()}
	for limit := time.Now().Add(reportLag); ; pause(ctx, 50*time.Millisecond) {
		s.Behind, s.Instances, s.Revision = []string{}, append([]config.Instance{}, t.instances...), t.last()
		for _, i := range t.instances {
			if i.Revision < s.Revision {
				s.Behind = append(s.Behind, i.Instance)
			}
		}
		if len(s.Behind) == 0 || time.Now().After(limit) {
			break
		}
		if err := t.read(ctx); err != nil {
			return nil, err
		}
	}
	s.Refused, s.Past = []config.Refusal{}, []config.Refusal{}
	add := func(list []config.Refusal) {
		for _, r := range list {
			if !slices.ContainsFunc(s.Refused, func(have config.Refusal) bool { return have.Key == r.Key && have.Revision == r.Revision }) {
				s.Refused = append(s.Refused, r)
			}
		}
	}
	for _, i := range t.instances {
		add(i.Refused)
	}
	if len(t.instances) == 0 {
		now, err := t.expected()
		if err != nil {
			return nil, err
		}
		add(now.Refused)
	}
	told, err := t.store.Refusals(ctx, s.Service)
	for _, r := range told {
		if !slices.ContainsFunc(s.Refused, func(have config.Refusal) bool { return have.Key == r.Key && have.Revision == r.Revision }) {
			s.Past = append(s.Past, r)
		}
	}
	return s, err
}

func (c *cli) printStanding(all []*standing) error {
	bad := slices.ContainsFunc(all, func(s *standing) bool { return !s.good() })
	if c.json {
		if err := c.printJSON(all); err != nil {
			return err
		}
	} else if err := c.printStandingText(all); err != nil {
		return err
	}
	if bad {
		return errSaid
	}
	return nil
}

func (c *cli) printStandingText(all []*standing) error {
	var instances, refused grid
	instances.header("SERVICE", "INSTANCE", "HOST", "PID", "REVISION", "CHECKED", "")
	refused.header("SETTING", "REVISION", "WRITTEN", "WHY")
	for _, s := range all {
		if len(s.Instances) == 0 {
			instances.add(cell{text: s.Service}, cell{"no instance runs", dimmed}, cell{}, cell{}, cell{text: fmt.Sprint(s.Revision)})
		}
		for _, i := range s.Instances {
			state := cell{"up to date", green}
			switch {
			case slices.Contains(s.Behind, i.Instance):
				state = cell{fmt.Sprintf("behind: the bucket is at %d", s.Revision), yellow}
			case len(i.Refused) > 0:
				state = cell{fmt.Sprintf("refuses %d", len(i.Refused)), red}
			}
			instances.add(cell{text: s.Service}, cell{text: i.Instance}, cell{text: telemetry.Escape(i.Host)}, cell{text: fmt.Sprint(i.PID)},
				cell{text: fmt.Sprint(i.Revision)}, cell{text: time.Since(i.Verified).Round(time.Second).String() + " ago"}, state)
		}
		for _, r := range s.Refused {
			refused.add(cell{text: telemetry.Escape(r.Key)}, cell{text: fmt.Sprint(r.Revision)}, cell{text: r.At.Local().Format(time.DateTime)}, cell{telemetry.Escape(r.Reason), red})
		}
		for _, r := range s.Past {
			refused.add(cell{text: telemetry.Escape(r.Key)}, cell{text: fmt.Sprint(r.Revision)}, cell{text: r.At.Local().Format(time.DateTime)}, cell{"in order by now: " + telemetry.Escape(r.Reason), dimmed})
		}
	}
	if err := c.printGrid(&instances); err != nil || len(refused.rows) == 1 {
		return err
	}
	if _, err := fmt.Fprintln(c.out); err != nil {
		return err
	}
	return c.printGrid(&refused)
}

// differs is one line of `mesh config diff`.
type differs struct {
	Key  string       `json:"key"`
	Old  string       `json:"old"`
	New  string       `json:"new"`
	From config.Layer `json:"from"`
	At   string       `json:"where,omitzero"`
}

func configDiff(c *cli) *cobra.Command {
	var n natsFlags
	var since uint64
	cmd := &cobra.Command{
		Use: "diff [service]", Short: "Show what differs from the defaults, or from an earlier revision", Args: cobra.MaximumNArgs(1), ValidArgsFunction: completeService,
		Example: "  mesh config diff\n  mesh config diff orders --since 12",
		RunE: func(cmd *cobra.Command, args []string) error {
			list, err := oneOrAll(args)
			if err != nil {
				return err
			}
			all := []differs{}
			earlier := cmd.Flags().Changed("since")
			if err := withTuning(cmd.Context(), &n, list, func(_ context.Context, t *tuning) error {
				lines, err := t.diff(earlier, since)
				all = append(all, lines...)
				return err
			}); err != nil {
				return err
			}
			return c.printDiff(all)
		},
	}
	n.add(cmd.Flags())
	cmd.Flags().Uint64Var(&since, "since", 0, "compare with this `revision` of the bucket instead of the defaults")
	return cmd
}

func (t *tuning) diff(earlier bool, since uint64) ([]differs, error) {
	old, err := config.Expect(t.schema, nil, nil)
	if earlier {
		old, err = config.Expect(t.schema, t.base, slices.DeleteFunc(slices.Clone(t.entries), func(e config.Entry) bool { return e.Revision > since }))
	}
	if err != nil {
		return nil, err
	}
	now, err := t.expected()
	if err != nil {
		return nil, err
	}
	var list []differs
	for i, r := range now.Settings {
		if was := old.Settings[i]; was.Value != r.Value {
			list = append(list, differs{t.schema.Service() + "." + r.Name, was.Value, r.Value, r.From, r.Where})
		}
	}
	return list, nil
}

func (c *cli) printDiff(all []differs) error {
	if c.json {
		return c.printJSON(all)
	}
	if len(all) == 0 {
		_, err := fmt.Fprintln(c.out, "nothing differs")
		return err
	}
	var g grid
	for _, d := range all {
		g.add(cell{text: d.Key}, cell{c.value(short(d.Old)), red}, cell{text: "→"}, cell{c.value(short(d.New)), green}, fromCell(d.From, d.At))
	}
	return c.printGrid(&g)
}
