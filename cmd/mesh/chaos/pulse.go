package chaos

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
)

// Beat is one order of a pulse.
type Beat struct {
	Due   time.Time // when it was to be placed
	Acked time.Time // when it was acknowledged
}

// Took is what a customer waited, a late start included.
func (b Beat) Took() time.Duration { return b.Acked.Sub(b.Due) }

// Pulse places the orders of a load at a steady rate, whatever becomes of those before:
// customers come while a mesh stands still, too. It returns when each has its answer.
func Pulse(ctx context.Context, l Load, perSecond int, client *Client, ledger *Ledger) ([]Beat, error) {
	beats := make([]Beat, l.Orders)
	group, ctx := errgroup.WithContext(ctx)
	begun := time.Now()
	for i := range beats {
		beats[i].Due = begun.Add(time.Duration(i) * time.Second / time.Duration(perSecond))
		select {
		case <-time.After(time.Until(beats[i].Due)):
		case <-ctx.Done():
			return nil, group.Wait()
		}
		group.Go(func() error {
			p := l.plan(i)
			p.cancel = -1
			err := place(ctx, client, ledger, p)
			beats[i].Acked = time.Now()
			return err
		})
	}
	return beats, group.Wait()
}

// Gap is the longest time without an acknowledgement that began after since, or was under
// way then.
func Gap(beats []Beat, since time.Time) (longest time.Duration, end time.Time) {
	acked := make([]time.Time, len(beats))
	for i, b := range beats {
		acked[i] = b.Acked
	}
	slices.SortFunc(acked, time.Time.Compare)
	for i := 1; i < len(acked); i++ {
		if gap := acked[i].Sub(acked[i-1]); acked[i].After(since) && gap > longest {
			longest, end = gap, acked[i]
		}
	}
	return longest, end
}

// Percentile is what the given share of the beats that were due in [from, to) took at most.
func Percentile(beats []Beat, share float64, from, to time.Time) time.Duration {
	var took []time.Duration
	for _, b := range beats {
		if !b.Due.Before(from) && b.Due.Before(to) {
			took = append(took, b.Took())
		}
	}
	if len(took) == 0 {
		return 0
	}
	slices.Sort(took)
	return took[min(len(took)-1, int(share*float64(len(took))))]
}

// Calm is how long after a moment 99 of 100 beats of a whole second take no longer than
// usual again, and settled how long until they do so in every second that follows, until to.
// A second wave comes when what had stood still behind the orders moves on.
func Calm(beats []Beat, from, to time.Time, usual time.Duration) (calm, settled time.Duration) {
	calm = -1
	for at := from; at.Before(to); at = at.Add(calmStep) {
		if Percentile(beats, 0.99, at, at.Add(time.Second)) > usual {
			settled = at.Add(calmStep).Sub(from)
		} else if calm < 0 {
			calm = at.Sub(from)
		}
	}
	if calm < 0 {
		calm = settled
	}
	return calm, settled
}

// calmStep is how exactly Calm looks.
const calmStep = 250 * time.Millisecond

// Failover is what one loss of a leader cost the customers.
type Failover struct {
	Stream  string
	Elected time.Duration // from the loss until the next leader
	Gap     time.Duration // the longest time without an acknowledged order
	Calm    time.Duration // from the gap's end until p99 is as usual
	Settled time.Duration // and until it stays so
	Before  time.Duration // p99 in the seconds before
	Worst   time.Duration // what a customer waited at most
	Placed  int           // orders in the time looked at
}

// String is one line of figures.
func (f Failover) String() string {
	ms := func(d time.Duration) time.Duration { return d.Round(time.Millisecond) }
	return fmt.Sprintf("leader of %s lost: next after %v, no order acknowledged for %v, p99 %v before and again %v after the gap, for good after %v; the slowest of %d orders took %v",
		f.Stream, ms(f.Elected), ms(f.Gap), ms(f.Before), ms(f.Calm), ms(f.Settled), f.Placed, ms(f.Worst))
}

// judgeFailover looks at the beats around the loss of a leader, until the next loss or
// the end.
func judgeFailover(beats []Beat, lost, until time.Time) Failover {
	const before = 5 * time.Second
	f := Failover{Before: Percentile(beats, 0.99, lost.Add(-before), lost.Add(-time.Second/2))}
	window := slices.DeleteFunc(slices.Clone(beats), func(b Beat) bool { return !b.Due.Before(until) || b.Due.Before(lost.Add(-before)) })
	gap, end := Gap(window, lost)
	f.Gap = gap
	f.Placed = len(window)
	if len(window) > 0 {
		f.Worst = slices.MaxFunc(window, func(a, b Beat) int { return cmp.Compare(a.Took(), b.Took()) }).Took()
	}
	usual := max(2*f.Before, usualFloor)
	f.Calm, f.Settled = Calm(window, end, until.Add(-time.Second), usual)
	return f
}

// usualFloor is a p99 that is as usual on any machine.
const usualFloor = 100 * time.Millisecond
