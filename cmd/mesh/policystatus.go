package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/config"
	"github.com/ordermesh/ordermesh/bus/telemetry"
)

// paperStanding is the state of a policy as JSON shows it.
type paperStanding struct {
	Policy    string            `json:"policy"`
	Kind      string            `json:"kind"`
	Revision  uint64            `json:"revision"` // that the bucket is at
	InForce   uint64            `json:"in_force"` // of the newest document that can be used, 0 for none
	Instances []config.Instance `json:"instances"`
	Behind    []string          `json:"behind"`  // instances at an older revision
	Refused   []config.Refusal  `json:"refused"` // what cannot be used now
	Past      []config.Refusal  `json:"past"`    // refused during the last week and in order by now
}

func (s *paperStanding) good() bool { return len(s.Behind) == 0 && len(s.Refused) == 0 }

func policyStatus(c *cli) *cobra.Command {
	var n natsFlags
	cmd := &cobra.Command{
		Use: "status [policy]", Short: "Show which revision each instance runs and which documents are refused", Args: cobra.MaximumNArgs(1),
		ValidArgsFunction: completePolicy,
		Long: "Show which revision of each policy its instances run and which documents cannot be used. One that is refused, or\n" +
			"an instance that does not follow, makes the exit code 1.",
		Example: "  mesh policy status\n  mesh policy status orders.acceptance --json",
		RunE: func(cmd *cobra.Command, args []string) error {
			list := papers()
			if len(args) > 0 {
				p, err := paperOf(args[0])
				if err != nil {
					return err
				}
				list = []paper{p}
			}
			all := []*paperStanding{}
			if err := withDocuments(cmd.Context(), &n, func(ctx context.Context, _ *bus.Conn, d *config.Documents) error {
				for _, p := range list {
					s, err := p.standing(ctx, d)
					if err != nil {
						return err
					}
					all = append(all, s)
				}
				return nil
			}); err != nil {
				return err
			}
			return c.printPaperStanding(all)
		},
	}
	n.add(cmd.Flags())
	return cmd
}

// standing gives instances that are behind a moment to tell that they are not.
func (p paper) standing(ctx context.Context, d *config.Documents) (*paperStanding, error) {
	s := &paperStanding{Policy: p.key(), Kind: string(p.Kind), Past: []config.Refusal{}}
	for limit := time.Now().Add(reportLag); ; pause(ctx, 50*time.Millisecond) {
		entries, err := d.Entries(ctx, p.key())
		if err != nil {
			return nil, err
		}
		running, err := d.Instances(ctx, p.service, p.Name)
		if err != nil {
			return nil, err
		}
		s.look(p, entries, running)
		if len(s.Behind) == 0 || time.Now().After(limit) {
			break
		}
	}
	told, err := d.Refusals(ctx, p.service, p.Name)
	for _, r := range told {
		if !slices.ContainsFunc(s.Refused, func(have config.Refusal) bool { return have.Revision == r.Revision }) {
			s.Past = append(s.Past, r)
		}
	}
	return s, err
}

func (s *paperStanding) look(p paper, entries []config.Entry, running []config.Instance) {
	last := config.Last(entries, p.key())
	s.Revision, s.InForce = last.Revision, p.inForce(entries).Revision
	s.Instances, s.Behind, s.Refused = append([]config.Instance{}, running...), []string{}, []config.Refusal{}
	for _, i := range running {
		if i.Revision < s.Revision {
			s.Behind = append(s.Behind, i.Instance)
		}
		for _, r := range i.Refused {
			if !slices.ContainsFunc(s.Refused, func(have config.Refusal) bool { return have.Revision == r.Revision }) {
				s.Refused = append(s.Refused, r)
			}
		}
	}
	if len(running) == 0 && last.Revision > 0 && !last.Deleted {
		if err := p.check([]byte(last.Value)); err != nil {
			s.Refused = append(s.Refused, config.Refusal{Key: p.key(), Revision: last.Revision, Reason: problems(err)[0].String(), At: last.At})
		}
	}
}

func (c *cli) printPaperStanding(all []*paperStanding) error {
	bad := slices.ContainsFunc(all, func(s *paperStanding) bool { return !s.good() })
	var err error
	if c.json {
		err = c.printJSON(all)
	} else {
		err = c.printPaperStandingText(all)
	}
	if err == nil && bad {
		return errSaid
	}
	return err
}

func (c *cli) printPaperStandingText(all []*paperStanding) error {
	var instances, refused grid
	instances.header("POLICY", "INSTANCE", "HOST", "PID", "RUNS", "CHECKED", "")
	refused.header("POLICY", "REVISION", "WRITTEN", "WHY")
	for _, s := range all {
		if len(s.Instances) == 0 {
			instances.add(cell{text: s.Policy}, cell{"no instance tells", dimmed}, cell{}, cell{}, cell{revisionText(s.InForce), dimmed})
		}
		for _, i := range s.Instances {
			state := cell{"up to date", green}
			switch {
			case slices.Contains(s.Behind, i.Instance):
				state = cell{fmt.Sprintf("behind: the bucket is at %d", s.Revision), yellow}
			case len(i.Refused) > 0:
				state = cell{fmt.Sprintf("refuses revision %d", i.Revision), red}
			}
			instances.add(cell{text: s.Policy}, cell{text: i.Instance}, cell{text: telemetry.Escape(i.Host)}, cell{text: fmt.Sprint(i.PID)},
				cell{text: revisionText(i.Runs)}, cell{text: time.Since(i.Verified).Round(time.Second).String() + " ago"}, state)
		}
		for _, r := range s.Refused {
			refused.add(cell{text: s.Policy}, cell{text: fmt.Sprint(r.Revision)}, cell{text: r.At.Local().Format(time.DateTime)}, cell{telemetry.Escape(r.Reason), red})
		}
		for _, r := range s.Past {
			refused.add(cell{text: s.Policy}, cell{text: fmt.Sprint(r.Revision)}, cell{text: r.At.Local().Format(time.DateTime)}, cell{"in order by now: " + telemetry.Escape(r.Reason), dimmed})
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

// revisionText is a revision that is in force.
func revisionText(revision uint64) string {
	if revision == 0 {
		return "none"
	}
	return fmt.Sprint("revision ", revision)
}
