package orders

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ordermesh/ordermesh/bus/flow"
	"github.com/ordermesh/ordermesh/bus/flow/flowtest"
	"github.com/ordermesh/ordermesh/contracts/orders"
	"github.com/ordermesh/ordermesh/contracts/shipping"
	"github.com/ordermesh/ordermesh/services/orders/domain"
)

// carrier answers for a carrier and remembers whom it was made known to.
type carrier struct {
	mu         sync.Mutex
	alarms     []string // each once: a log line may be written twice
	deliversAt time.Time
	asked      map[string]bool
}

func (c *carrier) ring(what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !slices.Contains(c.alarms, what) {
		c.alarms = append(c.alarms, what)
	}
}

func (c *carrier) overdue(_ context.Context, _ deliveryInput, n int) {
	c.ring("reminder " + string(rune('0'+n)))
}
func (c *carrier) escalated(context.Context, deliveryInput) { c.ring("escalated") }

// track loses each answer once.
func (c *carrier) track(_ context.Context, key, _ string) (shipping.Shipment, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.asked[key] {
		c.asked[key] = true
		return shipping.Shipment{}, errLost
	}
	if time.Now().Before(c.deliversAt) {
		return shipping.Shipment{Status: shipping.Created}, nil
	}
	return shipping.Shipment{Status: shipping.Delivered}, nil
}

// TestADeliveryEndsTheSameWhereverItCrashes: the parcel is due in an hour, the carrier is
// asked three times, once a day.
func TestADeliveryEndsTheSameWhereverItCrashes(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	in := deliveryInput{OrderID: "test", ShipmentID: "tr_7", WaitMS: time.Hour.Milliseconds(), EveryMS: day.Milliseconds(), Reminders: reminders}
	never := 1000 * day
	resolved := func(after time.Duration, outcome string) []flowtest.Option {
		return []flowtest.Option{flowtest.SignalAt(after, orders.ResolvedSignal, "e1", resolution{Outcome: outcome, Note: "n"})}
	}
	for name, c := range map[string]struct {
		delivered bool          // the order knows before the flow begins
		delivers  time.Duration // when the carrier would say so
		opts      []flowtest.Option
		alarms    []string
		end       resolution
	}{
		"delivered before it begins": {true, never, nil, nil, resolution{Outcome: outcomeDelivered}},
		"delivered in time":          {false, never, resolved(time.Minute, outcomeDelivered), nil, resolution{outcomeDelivered, "n"}},
		"delivered late":             {false, never, resolved(day, outcomeDelivered), []string{"reminder 1"}, resolution{outcomeDelivered, "n"}},
		"the carrier has not told":   {false, 30 * time.Hour, nil, []string{"reminder 1", "reminder 2", "reminder 3"}, resolution{Outcome: outcomeDelivered}},
		"a person finds out": {
			false, never, resolved(30*day, "lost"), []string{"reminder 1", "reminder 2", "reminder 3", "escalated"}, resolution{"lost", "n"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var post *carrier
			define := func() flow.Definition[deliveryInput, resolution] {
				l := newLedger(false, false, "")
				l.place(t)
				commands := []domain.Command{domain.Confirm{}, domain.Dispatch{}, domain.Ship{}}
				if c.delivered {
					commands = append(commands, domain.Deliver{})
				}
				for _, command := range commands {
					if _, _, err := l.orders.Do(t.Context(), "test", "", command); err != nil {
						t.Fatal(err)
					}
				}
				post = &carrier{deliversAt: time.Now().Add(c.delivers), asked: map[string]bool{}}
				return (&delivery{orders: l.orders, post: post, alarm: post}).definition()
			}
			flowtest.CrashEverywhere(t, define, in, func(t *testing.T, o flowtest.Outcome[resolution]) {
				t.Helper()
				if diff := cmp.Diff(c.alarms, post.alarms); diff != "" {
					t.Errorf("alarms: %s", diff)
				}
				if o.Status != flow.Completed || o.Out != c.end {
					t.Errorf("%s %+v, want %+v", o.Status, o.Out, c.end)
				}
			}, c.opts...)
		})
	}
}
