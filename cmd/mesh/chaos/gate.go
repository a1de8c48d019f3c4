package chaos

import (
	"context"
	"errors"
	"sync"
)

// Gate lets the orders of a load through in portions, so that a kill finds the mesh
// busy however fast it is.
type Gate struct {
	mu     sync.Mutex
	open   int
	closed bool
	moved  chan struct{} // closed and replaced when open grows
}

// errClosed ends a load whose gate was closed.
var errClosed = errors.New("the gate is closed")

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

// Close refuses every order that has not come through.
func (g *Gate) Close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.closed {
		g.closed = true
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
		open, closed, moved := g.open, g.closed, g.moved
		g.mu.Unlock()
		switch {
		case i < open:
			return nil
		case closed:
			return errClosed
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
