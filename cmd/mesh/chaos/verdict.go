package chaos

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ordermesh/ordermesh/cmd/mesh/judge"
)

// pollEvery is how often a mesh that is coming to rest is looked at.
const pollEvery = 50 * time.Millisecond

// Verdict is what became of a mesh once it was at rest, or would not come to rest.
type Verdict struct {
	Orders int            // stored
	Ends   map[string]int // how they ended: "delivered", "cancelled: <reason>"
	Took   time.Duration  // until everything was at rest
	Slow   string         // what it waited for last
	Judge  judge.Report
	Broken []string // every broken promise, one sentence each; empty is good

	heals bool // what is broken would be fine in a mesh that still works
}

// Checks names the judge's checks that found something.
func (v Verdict) Checks() []string {
	var names []string
	for _, c := range v.Judge.Checks {
		if len(c.Findings) > 0 {
			names = append(names, c.Name)
		}
	}
	return names
}

// String is one line of figures.
func (v Verdict) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d orders", v.Orders)
	for _, end := range slices.Sorted(maps.Keys(v.Ends)) {
		fmt.Fprintf(&b, ", %d %s", v.Ends[end], end)
	}
	appends := 0
	for _, s := range v.Judge.Streams {
		appends += int(s.Last) //nolint:gosec // a count of messages
	}
	fmt.Fprintf(&b, "; %d appends, %d charges, %d dead letters; at rest after %v; %d broken promises",
		appends, v.Judge.Totals.Charges, v.Judge.Totals.DeadLetters, v.Took.Round(time.Millisecond), len(v.Broken))
	if v.Took > slowRest && v.Slow != "" {
		b.WriteString("; it waited for: " + v.Slow)
	}
	return b.String()
}

// slowRest is from when on it is worth saying what a mesh was waiting for.
const slowRest = 8 * time.Second

// Rest waits until every order has ended and the judge is content with a mesh at
// rest, at most for limit, and returns what is then the case. What can never become
// good again ends the wait. An error means that nobody could look.
func Rest(ctx context.Context, client *Client, ledger *Ledger, limit time.Duration) (Verdict, error) {
	start, fold, slow := time.Now(), NewFold(), ""
	waiting, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		err := fold.Advance(waiting, client.JetStream())
		late := waiting.Err() != nil
		if late || err == nil && fold.Unfinished() == 0 {
			v, err := look(ctx, client, ledger, fold)
			v.Took, v.Slow = time.Since(start), slow
			if late || err == nil && (len(v.Broken) == 0 || !v.heals) {
				return v, err
			}
			if len(v.Broken) > 0 {
				slow = v.Broken[0]
			}
		} else if err == nil {
			slow = fold.unfinished()
		}
		select {
		case <-waiting.Done():
		case <-time.After(pollEvery):
		}
	}
}

// look asks the judge and compares the ledger with the stream.
func look(ctx context.Context, client *Client, ledger *Ledger, fold *Fold) (Verdict, error) {
	report, err := judge.Run(ctx, client.NATS(), judge.Options{AtRest: true, AckedFile: ledger.Path})
	if err != nil {
		return Verdict{}, err
	}
	v := Verdict{Orders: len(fold.Orders), Ends: fold.Ends(), Judge: report, Broken: fold.Broken(ledger.Entries())}
	for _, c := range report.Checks {
		for _, f := range c.Findings {
			v.Broken = append(v.Broken, fmt.Sprintf("%s: %s (%s, message %d): expected %s, is %s",
				c.Name, f.Entity, f.Subject, f.Sequence, f.Expected, f.Is))
		}
	}
	if len(v.Broken) == report.Count() && !report.Clean { // the ledger agrees with the stream
		working, err := judge.Run(ctx, client.NATS(), judge.Options{AckedFile: ledger.Path})
		if err != nil {
			return Verdict{}, err
		}
		v.heals = working.Clean
	}
	return v, nil
}
