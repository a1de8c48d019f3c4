package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/config"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/policy"
	"github.com/ordermesh/ordermesh/bus/rule"
	"github.com/ordermesh/ordermesh/bus/telemetry"
	ordersservice "github.com/ordermesh/ordermesh/services/orders"
)

func policyCommand(c *cli) *cobra.Command {
	return inGroup(groupLook, group("policy", "Look at policies and change them while the mesh runs: rules for new orders, how others are called",
		"  mesh policy check orders.acceptance rules.json\n  mesh policy shadow orders.acceptance rules.json\n"+
			"  mesh policy put orders.acceptance rules.json\n  mesh policy status",
		policyCheck(c), policyVars(c), policyTest(c), policyShadow(c),
		policyPut(c), policyUnset(c), policyRollback(c), policyGet(c), policyHistory(c), policyDiff(c), policyStatus(c), policyLs(c)))
}

// paper is a policy that some service follows.
type paper struct {
	contract.PolicyInfo
	service string
}

func (p paper) key() string { return contract.PolicyKey(p.service, p.Name) }

// papers lists the policies of all services.
func papers() []paper {
	var list []paper
	for _, desc := range descriptors(allServices()) {
		for _, info := range desc.Policies {
			list = append(list, paper{info, desc.Name})
		}
	}
	slices.SortFunc(list, func(a, b paper) int { return strings.Compare(a.key(), b.key()) })
	return list
}

// paperOf finds a policy by its key.
func paperOf(key string) (paper, error) {
	list := papers()
	i := slices.IndexFunc(list, func(p paper) bool { return p.key() == key })
	if i < 0 {
		var keys []string
		for _, p := range list {
			keys = append(keys, p.key())
		}
		return paper{}, usagef("there is no policy %q: choose from %s", key, strings.Join(keys, ", "))
	}
	return list[i], nil
}

// rulesOf is paperOf for policies that are rules.
func rulesOf(key string) (paper, error) {
	p, err := paperOf(key)
	if err == nil && p.Kind != contract.PolicyRules {
		return p, usagef("%s is no set of rules: it says how others are called", key)
	}
	return p, err
}

// completePolicy offers policies with what they mean.
func completePolicy(_ *cobra.Command, args []string, _ string) (keys []string, _ cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveDefault // a file
	}
	for _, p := range papers() {
		keys = append(keys, p.key()+"\t"+p.Doc)
	}
	return keys, cobra.ShellCompDirectiveNoFileComp
}

// check says why a document cannot be used, as the services will.
func (p paper) check(data []byte) error {
	if p.Kind == contract.PolicyCalls {
		_, err := policy.Parse(data, policy.Default(p.Of))
		return err
	}
	_, err := parseRules(data)
	return err
}

// parseRules reads a set of rules about new orders, the only rules there are.
func parseRules(data []byte) (*ordersservice.Rules, error) {
	env, err := ordersservice.NewRuleEnv()
	if err != nil {
		return nil, err
	}
	return env.Parse(data)
}

// problems are the faults of a document, one by one.
func problems(err error) []rule.Problem {
	if list, ok := errors.AsType[rule.Problems](err); ok {
		return list
	}
	if said, ok := errors.AsType[*contract.Error](err); ok {
		return []rule.Problem{{Message: strings.TrimSpace(said.Field + " " + said.Message)}}
	}
	return []rule.Problem{{Message: err.Error()}}
}

// unusable is the error of a document that cannot be used: all its faults.
func unusable(name string, err error) error {
	var lines []string
	for _, p := range problems(err) {
		lines = append(lines, telemetry.Escape(p.String()))
	}
	return fmt.Errorf("%s cannot be used: %s", name, strings.Join(lines, "\n  "))
}

// maxPolicyFile is more than any policy has.
const maxPolicyFile = 1 << 20

// readDocument reads a file, or standard input for "-".
func readDocument(in io.Reader, name string) ([]byte, error) {
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return nil, usagef("%w", err)
		}
		defer file.Close() //nolint:errcheck // it was only read
		in = file
	}
	data, err := io.ReadAll(io.LimitReader(in, maxPolicyFile))
	if err != nil {
		return nil, usagef("read %s: %w", name, err)
	}
	return data, nil
}

// withDocuments connects and opens the bucket of policies.
func withDocuments(ctx context.Context, n *natsFlags, f func(context.Context, *bus.Conn, *config.Documents) error) error {
	conn, err := n.connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	documents, err := config.OpenDocuments(ctx, conn)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		return errors.New("the mesh has no policies yet: start a service, or create the buckets with 'mesh topology apply'")
	}
	if err != nil {
		return err
	}
	return f(ctx, conn, documents)
}

// inForce is the newest entry of a policy that can be used; its revision is 0 if there is
// none, or it was deleted since.
func (p paper) inForce(entries []config.Entry) config.Entry {
	for _, e := range slices.Backward(entries) {
		if e.Deleted {
			break
		}
		if p.check([]byte(e.Value)) == nil {
			return e
		}
	}
	return config.Entry{Key: p.key()}
}

// paperCheck is a document that was looked at, as JSON shows it.
type paperCheck struct {
	Policy   string         `json:"policy"`
	Good     bool           `json:"good"`
	Problems []rule.Problem `json:"problems"`
	Rules    []paperRule    `json:"rules,omitempty"`
	Cost     uint64         `json:"cost,omitzero"` // at most, in CEL's units
}

type paperRule struct {
	rule.Rule
	Cost uint64 `json:"cost"`
}

func policyCheck(c *cli) *cobra.Command {
	return &cobra.Command{
		Use: "check <policy> <file>", Short: "Say whether a document can be used, and what is wrong with it", Args: exactly("a policy", "a file"),
		ValidArgsFunction: completePolicy,
		Long: "Read a document as the services would, without a mesh: its JSON, the names and types in each condition and what\n" +
			"it may cost. Everything that is wrong is listed, with the rule and the column. The file - is standard input.",
		Example: "  mesh policy check orders.acceptance rules.json\n  mesh policy check payments.provider - < provider.json",
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := paperOf(args[0])
			if err != nil {
				return err
			}
			data, err := readDocument(cmd.InOrStdin(), args[1])
			if err != nil {
				return err
			}
			return c.printPaperCheck(p, data)
		},
	}
}

func (c *cli) printPaperCheck(p paper, data []byte) error {
	result := paperCheck{Policy: p.key(), Good: true, Problems: []rule.Problem{}}
	if err := p.check(data); err != nil {
		result.Good, result.Problems = false, problems(err)
	} else if p.Kind == contract.PolicyRules {
		set, err := parseRules(data)
		if err != nil {
			return err
		}
		cost, each := set.Cost()
		result.Cost = cost
		for i, r := range set.Rules() {
			result.Rules = append(result.Rules, paperRule{r, each[i]})
		}
	}
	if c.json {
		if err := c.printJSON(result); err != nil {
			return err
		}
		if !result.Good {
			return errSaid
		}
		return nil
	}
	return c.printPaperCheckText(result)
}

func (c *cli) printPaperCheckText(result paperCheck) error {
	if !result.Good {
		for _, p := range result.Problems {
			if _, err := fmt.Fprintln(c.out, c.paint(red, telemetry.Escape(p.String()))); err != nil {
				return err
			}
		}
		return errSaid
	}
	if _, err := fmt.Fprintf(c.out, "%s can be used", result.Policy); err != nil {
		return err
	}
	if result.Cost > 0 {
		if _, err := fmt.Fprintf(c.out, "; it may cost %d of %d", result.Cost, rule.MaxCost); err != nil {
			return err
		}
	}
	if _, err := fmt.Fprintln(c.out); err != nil || len(result.Rules) == 0 {
		return err
	}
	var g grid
	g.header("RULE", "THEN", "COST", "WHEN")
	for _, r := range result.Rules {
		g.add(cell{text: r.Name}, outcomeCell(string(r.Then)), cell{text: fmt.Sprint(r.Cost)}, cell{text: short(r.When)})
	}
	return c.printGrid(&g)
}

func outcomeCell(outcome string) cell {
	return cell{outcome, map[string]string{"accept": green, "hold": yellow, "reject": red}[outcome]}
}

func policyGet(c *cli) *cobra.Command {
	var n natsFlags
	var revision uint64
	cmd := &cobra.Command{
		Use: "get <policy>", Short: "Print the document that is in force", Args: exactly("a policy"), ValidArgsFunction: completePolicy,
		Long: "Print the newest document that can be used, or the one of a revision. Without one the exit code is 1: then every\n" +
			"order is accepted, and calls go as they are built in.",
		Example: "  mesh policy get orders.acceptance\n  mesh policy get orders.acceptance --revision 12 > old.json",
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
				e := p.inForce(entries)
				if revision > 0 {
					e = at(entries, p.key(), revision)
				}
				if e.Revision == 0 || e.Deleted {
					return fmt.Errorf("%s: %w", p.key(), config.ErrNoEntry)
				}
				if c.json {
					return c.printJSON(e)
				}
				_, err = fmt.Fprintln(c.out, strings.TrimRight(e.Value, "\n"))
				return err
			})
		},
	}
	n.add(cmd.Flags())
	cmd.Flags().Uint64Var(&revision, "revision", 0, "the document as it was at this `revision` of the bucket")
	return cmd
}

// at is the entry that a key had at a revision.
func at(entries []config.Entry, key string, revision uint64) config.Entry {
	for _, e := range slices.Backward(entries) {
		if e.Revision <= revision {
			return e
		}
	}
	return config.Entry{Key: key}
}

func policyVars(c *cli) *cobra.Command {
	return &cobra.Command{
		Use: "vars <policy>", Short: "List what the conditions of rules can speak of, or what a policy of calls can say", Args: exactly("a policy"), ValidArgsFunction: completePolicy,
		Example: "  mesh policy vars orders.acceptance\n  mesh policy vars payments.provider",
		RunE: func(_ *cobra.Command, args []string) error {
			p, err := paperOf(args[0])
			if err != nil {
				return err
			}
			if p.Kind == contract.PolicyCalls {
				return c.printFields(policy.Default(p.Of).Fields())
			}
			env, err := ordersservice.NewRuleEnv()
			if err != nil {
				return err
			}
			if c.json {
				return c.printJSON(env.Variables())
			}
			var g grid
			g.header("NAME", "TYPE", "")
			for _, v := range env.Variables() {
				g.add(cell{text: v.Name}, cell{v.Type, cyan}, cell{v.Doc, dimmed})
			}
			return c.printGrid(&g)
		},
	}
}
