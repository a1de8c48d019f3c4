package main

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/config"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/telemetry"
	"github.com/ordermesh/ordermesh/contracts/orders"
	ordersservice "github.com/ordermesh/ordermesh/services/orders"
)

// trial is what rules say about one order, as JSON shows it.
type trial struct {
	Outcome string                     `json:"outcome"`
	Rule    string                     `json:"rule,omitzero"`
	Reason  string                     `json:"reason,omitzero"`
	Error   string                     `json:"error,omitzero"`
	Rules   []trialRule                `json:"rules"`
	Input   orders.AcceptanceVariables `json:"input"`
}

type trialRule struct {
	Name  string `json:"name"`
	Then  string `json:"then"`
	Holds bool   `json:"holds"`
	Error string `json:"error,omitzero"`
}

type trying struct {
	nats  natsFlags
	order string
	input string
}

func policyTest(c *cli) *cobra.Command {
	var o trying
	cmd := &cobra.Command{
		Use: "test <policy> [file]", Short: "Say what rules decide about one order, and which of them hold", Args: oneOrTwo("a policy", "a file"),
		ValidArgsFunction: completePolicy,
		Long: "Evaluate rules over one order, without effect: those of a file, or those in force. The order is one of the mesh,\n" +
			"with what was known when it was placed (--order), or a file with the variables that 'mesh policy vars' lists\n" +
			"(--input); what that does not say is 0 or nothing, and now is now. With two files no mesh is needed.",
		Example: "  mesh policy test orders.acceptance rules.json --input order.json\n  mesh policy test orders.acceptance --order o6vzvvb2rjzlif2bt34trocgyz\n" +
			`  echo '{"order":{"total":60000}}' | mesh policy test orders.acceptance rules.json --input -`,
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := rulesOf(args[0])
			switch {
			case err != nil:
				return err
			case (o.order == "") == (o.input == ""):
				return usagef("say which order: either --order or --input")
			}
			return o.run(cmd, c, p, args[1:])
		},
	}
	o.nats.add(cmd.Flags())
	cmd.Flags().StringVar(&o.order, "order", "", "`id` of an order of the mesh")
	cmd.Flags().StringVar(&o.input, "input", "", "`file` with the variables as JSON; - for standard input")
	return cmd
}

func (o *trying) run(cmd *cobra.Command, c *cli, p paper, files []string) error {
	var set *ordersservice.Rules
	if len(files) > 0 {
		data, err := readDocument(cmd.InOrStdin(), files[0])
		if err != nil {
			return err
		}
		if set, err = parseRules(data); err != nil {
			return unusable(files[0], err)
		}
	}
	if set != nil && o.input != "" {
		return o.given(cmd, c, set)
	}
	return withDocuments(cmd.Context(), &o.nats, func(ctx context.Context, conn *bus.Conn, d *config.Documents) (err error) {
		if set == nil {
			if set, err = p.running(ctx, d); err != nil {
				return err
			}
		}
		if o.input != "" {
			return o.given(cmd, c, set)
		}
		return o.stored(ctx, c, conn.JetStream(), set)
	})
}

// running are the rules in force.
func (p paper) running(ctx context.Context, d *config.Documents) (*ordersservice.Rules, error) {
	entries, err := d.Entries(ctx, p.key())
	if err != nil {
		return nil, err
	}
	e := p.inForce(entries)
	if e.Revision == 0 {
		return nil, fmt.Errorf("%s: %w: every order is accepted", p.key(), config.ErrNoEntry)
	}
	return parseRules([]byte(e.Value))
}

// given evaluates over variables in a file.
func (o *trying) given(cmd *cobra.Command, c *cli, set *ordersservice.Rules) error {
	data, err := readDocument(cmd.InOrStdin(), o.input)
	if err != nil {
		return err
	}
	var in orders.AcceptanceVariables
	if err := contract.Unmarshal(data, &in); err != nil {
		return unusable(o.input, err)
	}
	if in.Now.IsZero() {
		in.Now = time.Now().UTC()
	}
	if in.Customer.Since.IsZero() {
		in.Customer.Since = in.Now
	}
	return c.printTrial(set, in)
}

// stored evaluates over an order of the mesh.
func (o *trying) stored(ctx context.Context, c *cli, js jetstream.JetStream, set *ordersservice.Rules) error {
	if !contract.ValidID(o.order) {
		return usagef("--order %q is no id of an order", o.order)
	}
	var found ordersservice.Shadowed
	shadow := ordersservice.NewShadow(set, func(id string, _ orders.OrderPlaced) bool { return id == o.order })
	_, err := pastOrders(ctx, js, shadow, func(s ordersservice.Shadowed) bool { found = s; return false })
	switch {
	case err != nil:
		return err
	case found.OrderID == "":
		return fmt.Errorf("there is no order %s", o.order)
	}
	return c.printTrial(set, found.Placed.RuleInput(found.Would.Customer))
}

func (c *cli) printTrial(set *ordersservice.Rules, in orders.AcceptanceVariables) error {
	said := set.Decide(&in)
	t := trial{Outcome: string(said.Outcome), Rule: said.Rule, Reason: said.Reason, Input: in, Rules: []trialRule{}}
	if said.Err != nil {
		t.Error = said.Err.Error()
	}
	rules := set.Rules()
	for i, f := range set.Explain(&in) {
		r := trialRule{Name: f.Rule, Then: string(rules[i].Then), Holds: f.Holds}
		if f.Err != nil {
			r.Error = f.Err.Error()
		}
		t.Rules = append(t.Rules, r)
	}
	if c.json {
		return c.printJSON(t)
	}
	return c.printTrialText(t)
}

func (c *cli) printTrialText(t trial) error {
	by := "no rule holds"
	if t.Rule != "" {
		by = "rule " + t.Rule
	}
	line := c.paint(outcomeCell(t.Outcome).colour, t.Outcome) + ": " + by
	if more := cmp.Or(t.Error, t.Reason); more != "" && more != t.Rule {
		line += ", " + telemetry.Escape(more)
	}
	if _, err := fmt.Fprintln(c.out, line); err != nil {
		return err
	}
	var g grid
	g.header("RULE", "THEN", "HOLDS")
	for _, r := range t.Rules {
		holds := cell{"no", dimmed}
		switch {
		case r.Error != "":
			holds = cell{"fails: " + telemetry.Escape(r.Error), red}
		case r.Holds:
			holds = cell{"yes", strong}
		}
		g.add(cell{text: r.Name}, outcomeCell(r.Then), holds)
	}
	return c.printGrid(&g)
}
