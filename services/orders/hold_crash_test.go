package orders

import (
	"testing"
	"time"

	"github.com/ordermesh/ordermesh/bus/flow"
	"github.com/ordermesh/ordermesh/bus/flow/flowtest"
	"github.com/ordermesh/ordermesh/contracts/orders"
	"github.com/ordermesh/ordermesh/services/orders/domain"
)

// TestAHeldOrderEndsTheSameWhereverItsCheckoutCrashes has somebody decide after an hour,
// or nobody for a day. The order's own command decides; the signal only wakes.
func TestAHeldOrderEndsTheSameWhereverItsCheckoutCrashes(t *testing.T) {
	t.Parallel()
	const soon, late = time.Hour, 25 * time.Hour
	in := ordinary
	in.Hold = &holdInput{Reason: orders.HoldOverLimit, ForMS: (24 * time.Hour).Milliseconds()}
	wake := flowtest.SignalAt(soon+time.Second, decisionSignal, "e1", nil)
	held := []string{"order.placed.v1", "order.held.v1"}
	shipped := []string{"held", "authorized", "captured", "sold", "shipped"}
	way := append(held, "order.approved.v1", "order.confirmed.v1", "order.dispatched.v1", "order.shipped.v1")
	for name, c := range map[string]struct {
		decide  domain.Command
		after   time.Duration
		opts    []flowtest.Option
		events  []string
		effects []string
		reason  string
	}{
		"approved":             {domain.Approve{}, soon, []flowtest.Option{wake}, way, shipped, ""},
		"approved, not woken":  {domain.Approve{}, soon, nil, way, shipped, ""},
		"woken by nothing":     {domain.Approve{}, 2 * soon, []flowtest.Option{wake, flowtest.SignalAt(3*soon, decisionSignal, "e2", nil)}, way, shipped, ""},
		"rejected":             {domain.Reject{}, soon, []flowtest.Option{wake}, append(held, "order.rejected.v1", "order.cancelled.v1"), nil, orders.ReasonRejected},
		"cancelled":            {domain.Cancel{Reason: "bored"}, soon, []flowtest.Option{flowtest.CancelAt(soon+time.Second, "bored")}, append(held, "order.cancelled.v1"), nil, "bored"},
		"cancelled, not woken": {domain.Cancel{Reason: "bored"}, soon, nil, append(held, "order.cancelled.v1"), nil, "bored"},
		"nobody decides":       {domain.Approve{}, late, nil, append(held, "order.cancelled.v1"), nil, orders.ReasonHoldExpired},
		"stopped by a person":  {domain.Approve{}, late, []flowtest.Option{flowtest.CancelAt(soon, "stop")}, append(held, "order.cancelled.v1"), nil, reasonStopped},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var l *ledger
			define := func() flow.Definition[checkoutInput, checkoutResult] {
				now := newLedger(false, false, "")
				l = now
				l.place(t)
				time.AfterFunc(c.after, func() {
					_, _, _ = now.orders.Do(t.Context(), "test", "", c.decide) // refused where it comes too late
				})
				return l.checkout().definition(checkoutVersion)
			}
			flowtest.CrashEverywhere(t, define, in, func(t *testing.T, _ flowtest.Outcome[checkoutResult]) {
				t.Helper()
				l.check(t, c.events, c.effects, c.reason)
			}, append(c.opts, flowtest.AllPairs())...)
		})
	}
}
