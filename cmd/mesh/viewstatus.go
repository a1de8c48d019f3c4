package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
	"github.com/spf13/cobra"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/telemetry"
	"github.com/ordermesh/ordermesh/bus/view"
)

// How long services may take to answer: the first of them, and each after another.
const (
	firstAnswer = 2 * time.Second
	nextAnswer  = 300 * time.Millisecond
)

// viewState is a view as one instance of its service has it.
type viewState struct {
	view.Status
	Instance string `json:"instance"`
}

func viewStatus(c *cli) *cobra.Command {
	var n natsFlags
	cmd := &cobra.Command{
		Use: "status", Aliases: []string{"ls"}, Short: "Show how far every view is, in memory and in PostgreSQL",
		Long: "Ask every running instance for its views: the checkpoint, which is a sequence of the stream, how many\n" +
			"messages it is behind, and why it stands still if it does. Exit code 1 means that one stands still.",
		Example: "  mesh view status\n  mesh view status --json",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			conn, err := n.connect(cmd.Context())
			if err != nil {
				return err
			}
			defer conn.Close()
			states, err := askViews(cmd.Context(), conn)
			if err != nil {
				return err
			}
			if len(states) == 0 {
				return usagef("no service with views answers at %s: is the mesh running there?", bus.Redacted(n.address()))
			}
			if c.json {
				err = c.printJSON(struct {
					Views []viewState `json:"views"`
				}{states})
			} else {
				err = c.printViews(states)
			}
			if err == nil && slices.ContainsFunc(states, func(s viewState) bool { return s.Halted != "" }) {
				return errSaid
			}
			return err
		},
	}
	n.add(cmd.Flags())
	return cmd
}

// askViews gathers what instances report, until no more of them answer.
func askViews(ctx context.Context, conn *bus.Conn) ([]viewState, error) {
	subject, err := micro.ControlSubject(micro.StatsVerb, "", "")
	if err != nil {
		return nil, err
	}
	inbox := conn.NATS().NewInbox()
	answers, err := conn.NATS().SubscribeSync(inbox)
	if err != nil {
		return nil, err
	}
	defer func() { _ = answers.Unsubscribe() }() // the connection ends with the command
	if err := conn.NATS().PublishRequest(subject, inbox, nil); err != nil {
		return nil, err
	}
	var states []viewState
	for wait := firstAnswer; ; wait = nextAnswer {
		m, err := answers.NextMsg(wait)
		if errors.Is(err, nats.ErrTimeout) || errors.Is(err, nats.ErrNoResponders) {
			break
		}
		if err != nil || ctx.Err() != nil {
			return nil, errors.Join(err, ctx.Err())
		}
		reported, err := viewsIn(m.Data)
		if err != nil {
			return nil, fmt.Errorf("read what a service reports: %w", err)
		}
		states = append(states, reported...)
	}
	slices.SortFunc(states, func(a, b viewState) int {
		return cmp.Or(cmp.Compare(a.Service, b.Service), cmp.Compare(a.Entity, b.Entity), cmp.Compare(a.Instance, b.Instance))
	})
	return states, nil
}

// viewsIn reads the reports of views out of an answer with statistics.
func viewsIn(body []byte) ([]viewState, error) {
	var stats struct {
		ID      string                  `json:"id"`
		Reports map[string]contract.Raw `json:"reports"`
	}
	if err := contract.UnmarshalLenient(body, &stats); err != nil {
		return nil, err
	}
	var states []viewState
	for name, report := range stats.Reports {
		if !strings.HasPrefix(name, "view.") {
			continue
		}
		s := viewState{Instance: stats.ID}
		if err := contract.UnmarshalLenient(report, &s.Status); err != nil {
			return nil, err
		}
		states = append(states, s)
	}
	return states, nil
}

func (c *cli) printViews(states []viewState) error {
	var g grid
	g.header("VIEW", "SERVICE", "KEPT IN", "INSTANCE", "CHECKPOINT", "BEHIND", "STATE")
	for _, s := range states {
		state := cell{"follows", green}
		switch {
		case s.Halted != "":
			state = cell{"stands still", red}
		case !s.Known:
			state = cell{"starting", yellow}
		case s.Behind > 0:
			state = cell{"catching up", yellow}
		case !s.Leads:
			state = cell{"reads along", green}
		}
		g.add(cell{text: s.Entity}, cell{text: s.Service}, cell{text: s.Store}, cell{s.Instance[:min(8, len(s.Instance))], dimmed},
			cell{text: fmt.Sprint(s.Sequence)}, cell{text: fmt.Sprint(s.Behind)}, state)
	}
	lines := g.lines(c, "")
	for _, s := range states {
		if s.Halted != "" {
			lines = append(lines, fmt.Sprintf("%s (%s): %s", s.Entity, s.Service, telemetry.Escape(s.Halted)))
		}
	}
	_, err := fmt.Fprintln(c.out, strings.Join(lines, "\n"))
	return err
}
