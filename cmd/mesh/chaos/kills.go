package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

// Restart is one kill and what came after it.
type Restart struct {
	Acked int           // orders acknowledged before the kill
	Ready time.Duration // from the kill until `mesh dev` was ready again
	First time.Duration // from the kill until the next order was acknowledged
}

// killUnderLoad kills the mesh the given number of times, spread at random over the
// acknowledgements of a load of so many orders, and starts it again each time.
func killUnderLoad(ctx context.Context, m *Mesh, ledger *Ledger, kills, orders int, seed uint64) ([]Restart, error) {
	r := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // repeatable, not secret
	var all []Restart
	for k := range kills {
		// The last part of the load is left to run without a kill.
		at := orders * (k + r.IntN(2) + 1) / (kills + 2)
		if err := ledger.Reach(ctx, max(at, ledger.Len()+1)); err != nil {
			return all, err
		}
		select { // any moment between two acknowledgements and in what follows them
		case <-time.After(time.Duration(r.Int64N(int64(30 * time.Millisecond)))):
		case <-ctx.Done():
			return all, ctx.Err()
		}
		acked, start := ledger.Len(), time.Now()
		m.Kill()
		if err := m.Up(ctx); err != nil {
			return all, fmt.Errorf("start after kill %d: %w", k+1, err)
		}
		restart := Restart{Acked: acked, Ready: time.Since(start)}
		if acked < orders {
			if err := ledger.Reach(ctx, acked+1); err != nil {
				return all, fmt.Errorf("after kill %d: %w", k+1, err)
			}
			restart.First = time.Since(start)
		}
		all = append(all, restart)
	}
	return all, nil
}
