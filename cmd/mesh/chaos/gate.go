package chaos

import (
	"context"
	"sync"
)

// Gate lets the orders of a load through in portions, so that a kill finds the mesh
// busy however fast it is.
type Gate struct {
	mu    sync.Mutex
	open  int
	moved chan struct{} // closed and replaced when open grows
}

// NewGate is closed.
func NewGate() *Gate { return &Gate{moved: make(chan struct{})} }

// Open lets the first n orders through.
func (g *Gate) Open(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if n > g.open {
		g.open = n
		close(g.moved)
		g.moved = make(chan struct{})
	}
}

// pass waits until order i, counted from 0, may be placed. A nil gate is open.
func (g *Gate) pass(ctx context.Context, i int) error {
	if g == nil {
		return nil
	}
	for {
		g.mu.Lock()
		open, moved := g.open, g.moved
		g.mu.Unlock()
		if i < open {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
