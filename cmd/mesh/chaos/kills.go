package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

// Restart is one stop, by whatever signal, and what came after it.
type Restart struct {
	Acked int           // orders acknowledged before the stop
	Down  time.Duration // what the stop itself took
	Ready time.Duration // from the stop's begin until `mesh dev` was ready again
	First time.Duration // from the stop's begin until the next order was acknowledged
}

// busyFor is how long a mesh works on a portion of orders, about.
const busyFor = 200 * time.Millisecond

// killUnderLoad opens the load's gate portion by portion. In the middle of each but
// the last it ends the mesh with stop, at a moment that the seed chooses, and starts
// it again.
func killUnderLoad(ctx context.Context, r *Mesh, ledger *Ledger, l Load, kills int, stop func() error) ([]Restart, error) {
	random := rand.New(rand.NewPCG(l.Seed, 0))
	defer l.Gate.Open(l.Orders)
	var all []Restart
	for k := range kills {
		placed, portion := l.Orders*k/(kills+1), l.Orders/(kills+1)
		l.Gate.Open(placed + portion)
		if err := ledger.Reach(ctx, placed+random.IntN(portion)+1); err != nil {
			return all, err
		}
		select { // between two acknowledgements, or in what follows the last one
		case <-time.After(time.Duration(random.Int64N(int64(busyFor)))):
		case <-ctx.Done():
			return all, ctx.Err()
		}
		acked, start := ledger.Len(), time.Now()
		if err := stop(); err != nil {
			return all, fmt.Errorf("stop %d: %w", k+1, err)
		}
		down := time.Since(start)
		if err := r.Up(ctx); err != nil {
			return all, fmt.Errorf("start after stop %d: %w", k+1, err)
		}
		ready := time.Since(start)
		l.Gate.Open(l.Orders * (k + 2) / (kills + 1))
		if err := ledger.Reach(ctx, acked+1); err != nil {
			return all, fmt.Errorf("after stop %d: %w", k+1, err)
		}
		all = append(all, Restart{Acked: acked, Down: down, Ready: ready, First: time.Since(start)})
	}
	return all, nil
}
