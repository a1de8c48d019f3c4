package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/config"
	"github.com/ordermesh/ordermesh/contracts/orders"
	ordersservice "github.com/ordermesh/ordermesh/services/orders"
)

// shadowReport is what rules would have decided about past orders.
type shadowReport struct {
	Policy  string         `json:"policy"`
	Orders  int            `json:"orders"`   // that were looked at
	Would   map[string]int `json:"would"`    // orders by outcome
	Unruled int            `json:"unruled"`  // orders without a recorded decision: they count as accepted
	Changes int            `json:"changes"`  // orders with another outcome than they had
	Moves   []shadowMove   `json:"moves"`    // changes by what was and would have been said
	Changed []shadowChange `json:"changed"`  // the newest changes
	Failed  int            `json:"failed"`   // orders over which a rule failed
	TookMS  float64        `json:"took_ms"`  // to read and evaluate
	Read    int            `json:"messages"` // of the stream
}

type shadowMove struct {
	Was    string `json:"was"`
	Would  string `json:"would"`
	Rule   string `json:"rule,omitzero"`
	Orders int    `json:"orders"`
}

type shadowChange struct {
	OrderID    string    `json:"order_id"`
	CustomerID string    `json:"customer_id"`
	PlacedAt   time.Time `json:"placed_at"`
	Total      string    `json:"total"`
	Was        string    `json:"was"`
	WasRule    string    `json:"was_rule,omitzero"`
	Would      string    `json:"would"`
	Rule       string    `json:"rule,omitzero"`
	Reason     string    `json:"reason,omitzero"`
	Error      string    `json:"error,omitzero"`
}

type shadowing struct {
	nats  natsFlags
	since time.Duration
	limit int
}

func policyShadow(c *cli) *cobra.Command {
	var o shadowing
	cmd := &cobra.Command{
		Use: "shadow <policy> [file]", Short: "Say what rules would have decided about past orders, without effect", Args: oneOrTwo("a policy", "a file"),
		ValidArgsFunction: completePolicy,
		Long: "Evaluate the rules of a file, or those in force, over the orders that were placed, with what was known of each\n" +
			"customer then, and list what would have been decided otherwise. Nothing is changed. An order that was placed\n" +
			"without rules was accepted; how many those are is said.",
		Example: "  mesh policy shadow orders.acceptance rules.json\n  mesh policy shadow orders.acceptance rules.json --since 24h --limit 100 --json",
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := rulesOf(args[0])
			switch {
			case err != nil:
				return err
			case o.limit < 0:
				return usagef("--limit %d is less than nothing", o.limit)
			}
			var set *ordersservice.Rules
			if len(args) == 2 {
				data, err := readDocument(cmd.InOrStdin(), args[1])
				if err != nil {
					return err
				}
				if set, err = parseRules(data); err != nil {
					return unusable(args[1], err)
				}
			}
			return o.run(cmd.Context(), c, p, set)
		},
	}
	o.nats.add(cmd.Flags())
	cmd.Flags().DurationVar(&o.since, "since", 0, "only orders that were placed this `long` ago at most; 0s for all")
	cmd.Flags().IntVar(&o.limit, "limit", 20, "how many `orders` to list, the newest ones")
	return cmd
}

// shadowTimeout bounds one look at everything.
const shadowTimeout = 10 * time.Minute

func (o *shadowing) run(ctx context.Context, c *cli, p paper, set *ordersservice.Rules) error {
	conn, err := o.nats.connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, shadowTimeout)
	defer cancel()
	if set == nil {
		d, err := config.OpenDocuments(ctx, conn)
		if err != nil {
			return err
		}
		if set, err = p.running(ctx, d); err != nil {
			return err
		}
	}
	report, err := o.look(ctx, conn, p, set)
	if err != nil {
		return err
	}
	if c.json {
		return c.printJSON(report)
	}
	return c.printShadow(report)
}

func (o *shadowing) look(ctx context.Context, conn *bus.Conn, p paper, set *ordersservice.Rules) (*shadowReport, error) {
	begin := time.Now()
	r := &shadowReport{Policy: p.key(), Would: map[string]int{}, Moves: []shadowMove{}, Changed: []shadowChange{}}
	moves := map[shadowMove]int{}
	wanted := func(_ string, placed orders.OrderPlaced) bool {
		return o.since <= 0 || begin.Sub(placed.PlacedAt) <= o.since
	}
	read, err := pastOrders(ctx, conn.JetStream(), ordersservice.NewShadow(set, wanted), func(s ordersservice.Shadowed) bool {
		change := changeOf(s)
		r.Orders++
		r.Would[change.Would]++
		if change.Error != "" {
			r.Failed++
		}
		if s.Placed.Acceptance == nil {
			r.Unruled++
		}
		if change.Was == change.Would {
			return true
		}
		r.Changes++
		moves[shadowMove{Was: change.Was, Would: change.Would, Rule: change.Rule}]++
		if r.Changed = append(r.Changed, change); len(r.Changed) > 2*o.limit {
			r.Changed = slices.Delete(r.Changed, 0, len(r.Changed)-o.limit)
		}
		return true
	})
	r.Changed = r.Changed[max(0, len(r.Changed)-o.limit):]
	slices.Reverse(r.Changed)
	for m, n := range moves {
		m.Orders = n
		r.Moves = append(r.Moves, m)
	}
	slices.SortFunc(r.Moves, func(a, b shadowMove) int {
		return cmp.Or(b.Orders-a.Orders, cmp.Compare(a.Was, b.Was), cmp.Compare(a.Would, b.Would), cmp.Compare(a.Rule, b.Rule))
	})
	r.Read, r.TookMS = read, float64(time.Since(begin).Microseconds())/1e3
	return r, err
}

func orderCount(n int) string {
	if n == 1 {
		return "1 order"
	}
	return fmt.Sprintf("%d orders", n)
}

func changeOf(s ordersservice.Shadowed) shadowChange {
	c := shadowChange{
		OrderID: s.OrderID, CustomerID: s.Placed.CustomerID, PlacedAt: s.Placed.PlacedAt, Total: s.Placed.Total.String(),
		Was: string(orders.OutcomeAccept), Would: string(s.Would.Outcome), Rule: s.Would.Rule, Reason: s.Would.Reason, Error: s.Would.Error,
	}
	if said := s.Placed.Acceptance; said != nil {
		c.Was, c.WasRule = string(said.Outcome), said.Rule
	}
	return c
}

// shadowBatch is how many messages are on their way at once.
const shadowBatch = 4096

// pastOrders tells a shadow the stream of orders as it is now, until its answers are not
// wanted any more, and returns how many messages it has read.
func pastOrders(ctx context.Context, js jetstream.JetStream, shadow *ordersservice.Shadow, hear func(ordersservice.Shadowed) bool) (read int, err error) {
	info := orders.Events.Info()
	consumer, err := js.OrderedConsumer(ctx, info.Stream, jetstream.OrderedConsumerConfig{FilterSubjects: []string{info.Filter()}})
	if err != nil {
		return 0, fmt.Errorf("read the stream %s: %w", info.Stream, err)
	}
	if consumer.CachedInfo().NumPending == 0 {
		return 0, nil
	}
	messages, err := consumer.Messages(jetstream.PullMaxMessages(shadowBatch), jetstream.PullExpiry(5*time.Second), jetstream.PullHeartbeat(time.Second))
	if err != nil {
		return 0, fmt.Errorf("read the stream %s: %w", info.Stream, err)
	}
	defer messages.Stop()
	end := consumer.CachedInfo().NumPending // what comes meanwhile is not of the past
	for ; end > 0; end-- {
		m, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			return read, fmt.Errorf("read the stream %s: %w", info.Stream, err)
		}
		meta, err := m.Metadata()
		if err != nil {
			return read, err
		}
		read++
		answer, asked, err := shadow.Take(ctx, ordersservice.Stored{Subject: m.Subject(), Header: m.Headers(), Body: m.Data(), Sequence: meta.Sequence.Stream})
		if err != nil || (asked && !hear(answer)) {
			return read, err
		}
	}
	return read, nil
}

func (c *cli) printShadow(r *shadowReport) error {
	if _, err := fmt.Fprintf(c.out, "%s in %.0f ms: %d accepted, %d held, %d rejected; %d would have been decided otherwise, %d over which a rule fails\n",
		orderCount(r.Orders), r.TookMS, r.Would[string(orders.OutcomeAccept)], r.Would[string(orders.OutcomeHold)], r.Would[string(orders.OutcomeReject)], r.Changes, r.Failed); err != nil {
		return err
	}
	if r.Unruled > 0 {
		if _, err := fmt.Fprintf(c.out, "%s had been placed without rules and count as accepted\n", orderCount(r.Unruled)); err != nil {
			return err
		}
	}
	if r.Changes == 0 {
		return nil
	}
	var moves, list grid
	moves.header("ORDERS", "WAS", "", "WOULD BE", "RULE")
	for _, m := range r.Moves {
		moves.add(cell{text: fmt.Sprint(m.Orders)}, outcomeCell(m.Was), cell{text: "→"}, outcomeCell(m.Would), cell{text: cmp.Or(m.Rule, "(no rule)")})
	}
	list.header("ORDER", "PLACED", "CUSTOMER", "TOTAL", "WAS", "", "WOULD BE", "RULE")
	for _, s := range r.Changed {
		list.add(cell{text: s.OrderID}, cell{text: s.PlacedAt.Local().Format(time.DateTime)}, cell{text: s.CustomerID}, cell{text: s.Total},
			outcomeCell(s.Was), cell{text: "→"}, outcomeCell(s.Would), cell{text: cmp.Or(s.Rule, "(no rule)")})
	}
	if err := c.printGrid(&moves); err != nil || len(list.rows) == 1 {
		return err
	}
	if _, err := fmt.Fprintln(c.out); err != nil {
		return err
	}
	return c.printGrid(&list)
}
